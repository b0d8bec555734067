import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { openGuardedHttp } from '@cairn/adapters';
import { Failure } from '@cairn/failure';
import { readConfig } from '@cairn/runtime';
import { visible } from '@cairn/session';
import { type Alert, DeliveryStore, refusalsOf, sendAlert, webhooksSchema } from '@cairn/webhook';
import type { Command } from 'commander';
import { z } from 'zod';
import { ALERTING } from './config.ts';
import { EXIT } from './exit-codes.ts';
import { noteMore, type Output, tableOf } from './output.ts';
import type { OpenTrail } from './trail.ts';

/** Makes an action of a command from its work. */
type Does = <A extends unknown[]>(
  work: (run: { readonly output: Output; readonly open: OpenTrail }, ...own: A) => Promise<number> | number,
) => (...own: A) => Promise<void>;

/** Registers `cairn alerts`. */
export function addAlertsCommand(program: Command, does: Does): void {
  const alerts = program
    .command('alerts')
    .summary('show alerts, and see to their delivery')
    .description('Shows the latest alerts; its commands try endpoints and see to what was not delivered.')
    .option('--limit <count>', 'at most so many', '20')
    .addHelpText(
      'after',
      '\nExamples:\n  $ cairn alerts\n  $ cairn alerts test security-slack\n  $ cairn alerts deliveries .local/alerting --state parked\n',
    )
    .action(does(({ open, output }, { limit }: { limit: string }) => listAlerts(open, output, limit)));
  alerts
    .command('test')
    .summary('tell an endpoint of an alert that means nothing')
    .description(
      'Sends one test alert to an endpoint of the configuration, signed and under the same rules as a real one. Exit code 1 ' +
        'when it is not accepted.',
    )
    .argument('<endpoint>', 'its name')
    .option('--config <file>', 'configuration of alerting', ALERTING)
    .action(
      does(({ output }, endpoint: string, { config }: { config: string }) =>
        testEndpoint(output, endpoint, config),
      ),
    );
  alerts
    .command('deliveries')
    .summary('show what endpoints were told and are owed')
    .description('Shows deliveries, newest first, from the data directory of alerting.')
    .argument('<directory>', 'data directory of alerting')
    .option('--state <state>', 'due, parked or delivered')
    .option('--limit <count>', 'at most so many', '20')
    .action(
      does(({ output }, directory: string, options: { state?: string; limit: string }) =>
        listDeliveries(output, directory, options),
      ),
    );
  alerts
    .command('replay')
    .summary('send an endpoint what was parked')
    .description(
      'Sends parked deliveries again, from the beginning of the schedule, and enables the endpoint if it was disabled. The ' +
        'service that runs takes them up within a second.',
    )
    .argument('<directory>', 'data directory of alerting')
    .argument('<endpoint>', 'its name')
    .action(
      does(({ output }, directory: string, endpoint: string) => {
        using store = openDeliveries(directory);
        const count = store.replay(endpoint, Date.now());
        output.value({ endpoint, replayed: count });
        output.line(`${count} deliveries to ${visible(endpoint)} are due again.`);
        return EXIT.ok;
      }),
    );
}

interface AlertRow {
  readonly event_id: string;
  readonly time: string;
  readonly org_id: string;
  readonly service: string;
  readonly method: string;
  readonly error_code: string;
  readonly detail: string;
}

/** `cairn alerts`: the latest alert events, findings of the archive included. */
async function listAlerts(open: OpenTrail, output: Output, limit: string): Promise<number> {
  await using trail = open();
  const most = countOf(limit);
  const found = await trail.query<AlertRow>(
    `SELECT lower(hex(event_id)) AS event_id, formatDateTime(timestamp, '%F %T', 'UTC') AS time, org_id, service, method,
       error_code, detail
     FROM cairn.events WHERE kind = 'alert' ORDER BY timestamp DESC LIMIT {limit:UInt32}`,
    { limit: most + 1 },
  );
  const rows = found.slice(0, most);
  for (const row of rows) output.value({ ...row, detail: detailOf(row.detail) });
  if (rows.length === 0) output.note('No alert has been recorded yet.');
  else {
    const lines = rows.map(({ time, org_id, method, error_code, detail }) => {
      const { rule = '', title = '', level = '', count = '', group = {} } = detailOf(detail);
      const who = Object.entries(group as object)
        .map(([name, value]) => `${name}=${String(value)}`)
        .join(' ');
      const what = String(rule) === '' ? error_code : String(title);
      return [time, method.replace('alert/', ''), String(level), org_id, what, String(count), who];
    });
    const header = ['TIME (UTC)', 'WHAT', 'LEVEL', 'ORG', 'RULE', 'EVENTS', 'GROUP'];
    for (const line of tableOf(header, lines)) output.line(line);
  }
  noteMore(output, found.length, most);
  return EXIT.ok;
}

/** The facts of an alert event, which another recorder may have written otherwise. */
function detailOf(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

const testConfig = z.object({ webhooks: webhooksSchema.prefault({}) });

/** `cairn alerts test`: one message to one endpoint. */
async function testEndpoint(output: Output, name: string, file: string): Promise<number> {
  const { webhooks } = readConfig({ name: 'alerting', schema: testConfig, env: {}, names: {}, file });
  const endpoint = webhooks.endpoints.find((one) => one.name === name);
  if (endpoint === undefined) {
    const known = webhooks.endpoints.map((one) => one.name).join(', ');
    throw new Failure({
      code: 'config.invalid',
      retry: 'no',
      message: `there is no endpoint ${name} in ${file}`,
      mend: known === '' ? 'The file names none.' : `It names ${known}.`,
    });
  }
  await using http = openGuardedHttp({ refusalOf: refusalsOf(webhooks.network) });
  const begun = performance.now();
  const alert = testAlert();
  const attempt = await sendAlert(http, endpoint, webhooks.network, alert, Date.now());
  const ms = Math.round(performance.now() - begun);
  const isDelivered = attempt.status !== undefined && attempt.status >= 200 && attempt.status <= 299;
  output.value({ endpoint: name, id: alert.id, ms, delivered: isDelivered, ...attempt });
  output.line(
    isDelivered
      ? `${name} answered ${attempt.status} after ${ms} ms.`
      : `${name} did not accept it: ${attempt.status ?? 'no answer'} after ${ms} ms. ${visible(attempt.note)}`,
  );
  return isDelivered ? EXIT.ok : EXIT.failed;
}

function testAlert(): Alert {
  const id = randomUUID();
  return {
    id,
    key: `test-${id}`,
    what: 'test',
    orgId: 'cairn',
    rule: 'test',
    title: 'A test of this endpoint',
    level: 'informational',
    at: new Date().toISOString(),
    group: {},
    count: 0,
    events: [],
    reason: 'Somebody ran: cairn alerts test',
  };
}

/** `cairn alerts deliveries`. */
function listDeliveries(
  output: Output,
  directory: string,
  { state, limit }: { readonly state?: string; readonly limit: string },
): number {
  if (state !== undefined && state !== 'due' && state !== 'parked' && state !== 'delivered')
    throw new Failure({ code: 'config.invalid', retry: 'no', message: `${state} is no state of a delivery` });
  using store = openDeliveries(directory);
  const most = countOf(limit);
  const found = store.list({ state, most: most + 1 });
  const rows = found.slice(0, most);
  for (const row of rows) output.value(row);
  if (rows.length === 0) output.note('There is none.');
  const header = ['ENDPOINT', 'STATE', 'ATTEMPTS', 'STATUS', 'ALERT', 'WHAT', 'RULE', 'NOTE'];
  const lines = rows.map(({ endpoint, state: now, attempts, status, id, alert, note }) => [
    endpoint,
    now,
    String(attempts),
    String(status ?? ''),
    id,
    alert.what,
    alert.rule,
    note.slice(0, 60),
  ]);
  if (rows.length > 0) for (const line of tableOf(header, lines)) output.line(line);
  noteMore(output, found.length, most);
  return EXIT.ok;
}

/** @throws Failure `config.invalid` where no alerting has run: nothing is created by looking. */
function openDeliveries(directory: string): DeliveryStore {
  const file = join(directory, 'deliveries.sqlite');
  if (existsSync(file)) return new DeliveryStore(file);
  throw new Failure({
    code: 'config.invalid',
    retry: 'no',
    message: `${file} does not exist`,
    mend: 'Name the data directory of alerting, CAIRN_ALERTING_DATA_DIRECTORY.',
  });
}

function countOf(text: string): number {
  if (/^[1-9]\d{0,4}$/.test(text)) return Number(text);
  throw new Failure({ code: 'config.invalid', retry: 'no', message: `${text} is no count from 1 to 99999` });
}
