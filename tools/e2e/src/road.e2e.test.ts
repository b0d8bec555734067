import { randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { openClickHouse } from '@cairn/adapters';
import {
  type AgentCall,
  awaitSession,
  PLANTED,
  proveSoon,
  type Road,
  runBillingAgent,
  runOperationsAgent,
  startRoad,
} from '@cairn/demo';
import type { Session } from '@cairn/session';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';

const traceId = (): string => randomBytes(16).toString('hex');

describe('the whole road, with real agents of both eras', () => {
  const directory = mkdtempSync(join(tmpdir(), 'cairn-e2e-'));
  let road: Road;
  let saw: { operations: AgentCall[]; billing: AgentCall[] };
  let operations: Session;
  let billing: Session;

  beforeAll(async () => {
    road = await startRoad({ directory, ports: 'any', archive: true });
    const { gatewayUrl, demo, clickhouseUrl } = road;
    const [first, second] = [traceId(), traceId()];
    const access = { gatewayUrl, credential: demo.credentials.operations, traceId: first };
    saw = {
      operations: await runOperationsAgent(access, demo.workspace),
      billing: await runBillingAgent({ gatewayUrl, credential: demo.credentials.billing, traceId: second }),
    };
    operations = await awaitSession(clickhouseUrl, first, saw.operations.length);
    billing = await awaitSession(clickhouseUrl, second, saw.billing.length);
  }, 480_000);
  afterAll(async () => {
    await road?.[Symbol.asyncDispose]();
    rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
  });

  test('the session of the first era holds every call with its decision beside its outcome', () => {
    expect(callsOf(operations)).toEqual([
      'memory/create_entities allow success',
      'memory/search_nodes allow success',
      'memory/delete_entities deny denied',
      'filesystem/list_directory allow success',
      'filesystem/read_text_file allow success',
      'filesystem/read_text_file allow failure',
      'filesystem/write_file allow success',
      'everything/get-sum allow success',
      'everything/get-env deny denied',
      'everything/trigger-long-running-operation allow timeout',
    ]);
    expect(operations).toMatchObject({
      session_source: 'trace',
      org_id: 'acme',
      agent_id: 'operations-assistant',
      auth_method: 'bearer',
      client_name: 'operations-assistant',
      protocol_versions: ['2025-11-25'],
      findings: [],
    });
  });

  test('the session of the second era does as well', () => {
    expect(callsOf(billing)).toEqual([
      'invoices/list_invoices allow success',
      'invoices/send_reminder allow success',
      'invoices/send_reminder allow failure',
      'invoices/delete_invoice deny denied',
    ]);
    expect(billing).toMatchObject({
      session_source: 'trace',
      protocol_versions: ['2026-07-28'],
      findings: [],
    });
  });

  test('what the trail says is what the agents saw', () => {
    const outcomes = { success: 'answer', failure: 'tool error', denied: 'refusal', timeout: 'refusal' };
    const recorded = [...operations.steps, ...billing.steps]
      .filter(({ kind }) => kind === 'tool_call')
      .map(({ service, tool_name, result_status }) => [
        service,
        tool_name,
        outcomes[result_status as keyof typeof outcomes],
      ]);
    const seen = [...saw.operations, ...saw.billing].map((call) => [call.upstream, call.tool, call.saw]);
    expect(recorded).toEqual(seen);
  });

  test('a refusal names the rule and the event that recorded it', async () => {
    const refusal = saw.billing.find(({ tool }) => tool === 'delete_invoice')?.text ?? '';
    const eventId = /Audit event ([0-9a-f-]{36})/.exec(refusal)?.[1] ?? '';
    expect(refusal).toContain('no-deletion');
    const denied = billing.steps.find(({ tool_name }) => tool_name === 'delete_invoice');
    expect(denied?.event_ids).toEqual([eventId]);
  });

  test('every call has all five: identity, action, outcome, context, policy', () => {
    for (const step of [...operations.steps, ...billing.steps].filter(({ kind }) => kind === 'tool_call')) {
      expect(step.action).not.toBe('');
      expect(step.latency_ms).not.toBeNull();
      expect(step.rules_matched.length).toBeGreaterThan(0);
      expect(step.parameters_shape).not.toBe('');
    }
    for (const session of [operations, billing]) {
      expect(session.user_id).toMatch(/^t1_/);
      expect(session.agent_version).not.toBe('');
    }
  });

  test('the redactions say that secrets and personal values passed', () => {
    const rules = [...operations.steps, ...billing.steps].flatMap((step) =>
      step.redactions.map(({ rule }) => rule),
    );
    for (const rule of [
      'secret.aws-access-key',
      'secret.github-token',
      'pii.email',
      'pii.phone',
      'pii.iban',
      'pii.payment-card',
    ]) {
      expect(rules).toContain(rule);
    }
  });

  test('no planted value lies in the bytes of Kafka, ClickHouse, logs, spool and keys, nor in any column', async () => {
    await using clickhouse = openClickHouse({ url: road.clickhouseUrl });
    const chunks: Uint8Array[] = [];
    const tables = [
      'events',
      'ingest_gaps',
      'stream_findings',
      'tools_by_hour',
      'agents_by_hour',
      'ingest_owners',
    ];
    for (const table of tables) {
      for await (const chunk of await clickhouse.stream(`SELECT * FROM cairn.${table}`, 'TabSeparatedRaw'))
        chunks.push(chunk);
    }
    const dumped = Buffer.concat(chunks);
    // Files that a merge takes away must not be missed, nor those that it makes.
    await clickhouse.exec('SYSTEM STOP MERGES');
    const kept = ['kafka', 'clickhouse', 'redis', 's3', 'log', 'run', join('demo', 'gateway')];
    const files = (): string[] => kept.flatMap((folder) => filesOf(join(directory, folder)));
    // ClickHouse merges parts and removes the old ones meanwhile: then all that lies there now is looked at again.
    const filesThatHold = (form: string): string[] => {
      for (let attempt = 1; ; attempt += 1) {
        try {
          return files().filter((file) => readFileSync(file).includes(form));
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || attempt === 10) throw error;
        }
      }
    };
    // The search itself must be able to find: this name is meant to be there.
    expect(dumped.includes('operations-assistant')).toBe(true);
    for (const folder of ['kafka', join('demo', 'gateway')]) {
      expect(
        filesOf(join(directory, folder)).some((file) => readFileSync(file).includes('operations-assistant')),
      ).toBe(true);
    }
    const secrets = [...Object.values(PLANTED), ...Object.values(road.demo.credentials)];
    const found: string[] = [];
    for (const secret of secrets) {
      const forms = [
        secret,
        secret.replaceAll(' ', ''),
        encodeURIComponent(secret),
        Buffer.from(secret).toString('base64'),
      ];
      for (const form of new Set(forms)) {
        if (dumped.includes(form)) found.push(`column: ${form}`);
        found.push(...filesThatHold(form).map((file) => `${file}: ${form}`));
      }
    }
    expect(found).toEqual([]);
    expect(files().length).toBeGreaterThan(50);
  }, 60_000);

  test('the archive verifies as intact under the root key alone, also after archival was killed and its keys were rotated', async () => {
    const archive = road.archive!;
    const verified = async () => {
      const { code, said } = await archive.cairn(
        'verify',
        archive.place,
        '--root',
        archive.rootKey,
        '--json',
      );
      return { code, verdict: JSON.parse(said) };
    };
    const last = (session: Session): string => session.steps.at(-1)!.event_ids.at(-1)!;
    await proveSoon(archive, last(billing), join(directory, 'proof'));
    await archive.enrol();
    const first = await verified();
    expect(first).toMatchObject({ code: 0, verdict: { verdict: 'intact', keys: { verdict: 'intact' } } });
    expect(eventsOf(first.verdict, 'acme')).toBeGreaterThan(0);

    await archive.archival.kill9();
    const keys = join(directory, 'archival', 'keys');
    for (const name of readdirSync(keys)) if (name.endsWith('.pem')) rmSync(join(keys, name));
    await archive.archival.start();
    // Until the new keys have signed something.
    let unknown = await verified();
    for (let wait = 0; wait < 60 && unknown.code === 0; wait += 1) {
      await sleep(1_000);
      unknown = await verified();
    }
    expect(unknown).toMatchObject({ code: 2, verdict: { verdict: 'not verifiable here' } });
    await archive.enrol('--rotated');
    const rotated = await verified();
    expect(rotated).toMatchObject({ code: 0, verdict: { verdict: 'intact' } });
    expect(eventsOf(rotated.verdict, 'acme')).toBeGreaterThan(eventsOf(first.verdict, 'acme'));
  }, 240_000);

  test('a call without a credential is refused, and recorded', async () => {
    const answer = await fetch(`${road.gatewayUrl}/mcp/memory`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: 'Bearer wrong' },
      body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/list' }),
    });
    expect(answer.status).toBe(401);
    await using clickhouse = openClickHouse({ url: road.clickhouseUrl });
    const refused = async () =>
      clickhouse.query(
        "SELECT org_id, result_status, service FROM cairn.events WHERE error_code = 'gateway.unauthenticated'",
      );
    for (let wait = 0; wait < 50 && (await refused()).length === 0; wait += 1)
      await new Promise((done) => setTimeout(done, 200));
    expect(await refused()).toEqual([{ org_id: 'demo', result_status: 'denied', service: 'memory' }]);
  }, 30_000);
});

function callsOf(session: Session): string[] {
  return session.steps
    .filter(({ kind }) => kind === 'tool_call')
    .map((step) => `${step.service}/${step.tool_name} ${step.decision} ${step.result_status}`);
}

function filesOf(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((file) => join(folder, file))
    .filter((file) => statSync(file, { throwIfNoEntry: false })?.isFile() === true);
}

/** Events of an organisation that a verdict counts. */
function eventsOf(
  verdict: { readonly logs: readonly { readonly population: readonly { org: string; events: number }[] }[] },
  org: string,
): number {
  return verdict.logs
    .flatMap(({ population }) => population)
    .filter((entry) => entry.org === org)
    .reduce((sum, { events }) => sum + events, 0);
}
