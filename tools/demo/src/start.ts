// The quick start: real parts, the services, real agent sessions through published MCP servers, and what the trail
// holds of them.
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempDisposable } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { explain, Failure } from '@cairn/failure';
import { DATA_DIRECTORY } from '@cairn/local';
import { renderSession } from '@cairn/session';
import { type AgentCall, runBillingAgent, runOperationsAgent } from './agents.ts';
import { type DemoArchive, proveSoon } from './archive.ts';
import { awaitSession } from './report.ts';
import { type Road, startRoad } from './road.ts';

const HELP = `Usage: npm start [-- --exit]

Starts Kafka, ClickHouse, Redis, S3, the gateway, ingest and archival on this machine, lets two agents work through the
gateway, prints their sessions from the trail, proves one event, verifies the archive, and stays up until Ctrl-C.

  --exit   end after the report
  --help   this text
`;

async function main(args: readonly string[]): Promise<void> {
  if (args.includes('--help')) return void process.stdout.write(HELP);
  const unknown = args.find((argument) => argument !== '--exit');
  if (unknown) throw new Error(`unknown argument ${unknown}; --help tells what there is`);

  const began = performance.now();
  const say = (line: string): void => void process.stdout.write(`${line}\n`);
  const progress = (line: string): void => {
    say(`  ${((performance.now() - began) / 1_000).toFixed(1).padStart(6)} s  ${line}`);
  };
  const stop = new AbortController();
  process.once('SIGINT', () => stop.abort());
  process.once('SIGTERM', () => stop.abort());

  say('Starting the parts and the services');
  await using road = await startRoad({
    directory: DATA_DIRECTORY,
    ports: 'usual',
    onProgress: progress,
    archive: true,
  });
  if (stop.signal.aborted) return;
  progress('two agents are at work');
  await report(road, say);
  if (args.includes('--exit')) return;
  say('Everything stays up until Ctrl-C.');
  if (!stop.signal.aborted) await once(stop.signal, 'abort');
  say('\nStopping. The data stays in .local/data.');
}

/** Lets the agents work, and prints what the trail holds of it. */
async function report(road: Road, say: (line: string) => void): Promise<void> {
  const { gatewayUrl, demo, clickhouseUrl, archive } = road;
  const [operationsTrace, billingTrace] = [traceId(), traceId()];
  const [operations, billing] = await Promise.all([
    runOperationsAgent(
      { gatewayUrl, credential: demo.credentials.operations, traceId: operationsTrace },
      demo.workspace,
    ),
    runBillingAgent({ gatewayUrl, credential: demo.credentials.billing, traceId: billingTrace }),
  ]);
  say(
    `  the agents made ${operations.length + billing.length} calls and saw: ${seen([...operations, ...billing])}\n`,
  );
  const width = Math.max(80, Math.min(process.stdout.columns ?? 110, 140));
  const color = process.stdout.isTTY === true;
  let last: string | undefined;
  for (const [trace, calls] of [
    [operationsTrace, operations],
    [billingTrace, billing],
  ] as const) {
    const session = await awaitSession(clickhouseUrl, trace, calls.length);
    say(`${renderSession(session, { width, color })}\n`);
    last = session.steps.at(-1)?.event_ids.at(-1);
  }
  if (archive !== undefined && last !== undefined) await reportArchive(archive, last, say);
  say('Look further:');
  say(`  npx cairn session ${operationsTrace}`);
  say('  npx cairn tail --last 20');
  say(`  npx cairn verify s3://cairn-archive --root ${archive?.rootKey ?? 'root.vkey'}`);
  say(
    `  npx cairn query "SELECT tool_name, result_status, count() FROM cairn.events GROUP BY ALL ORDER BY 3 DESC"`,
  );
  say(
    `  Your own MCP client: ${gatewayUrl}/mcp/everything with the header Authorization: Bearer ${demo.credentials.operations}\n`,
  );
}

/** Proves the last event of the sessions, and has the whole archive verified as an auditor would. */
async function reportArchive(
  archive: DemoArchive,
  eventId: string,
  say: (line: string) => void,
): Promise<void> {
  const { place, rootKey } = archive;
  say('Is the archive what was recorded?');
  await using folder = await mkdtempDisposable(join(tmpdir(), 'cairn-proof-'));
  say(`  $ cairn proof ${eventId} --from ${place} --root root.vkey`);
  const proved = await proveSoon(archive, eventId, folder.path);
  for (const line of proved.trim().split('\n').slice(0, 2)) say(`  ${line}`);
  // Archival has a key for each organisation that it recorded something of.
  await archive.enrol();
  say(`  $ cairn verify ${place} --root root.vkey`);
  const { code, said } = await archive.cairn('verify', place, '--root', rootKey);
  for (const line of said.trim().split('\n')) say(line === '' ? '' : `  ${line}`);
  say('');
  if (code !== 0)
    throw new Failure({
      code: 'demo.not-intact',
      retry: 'no',
      message: `cairn verify ended with ${code}: the archive is not what was recorded, or cannot be judged`,
      mend: 'Read what it says above, and the log of archival.',
    });
}

function seen(calls: readonly AgentCall[]): string {
  const counts = new Map<string, number>();
  for (const { saw } of calls) counts.set(saw, (counts.get(saw) ?? 0) + 1);
  return [...counts].map(([what, count]) => `${count} × ${what}`).join(', ');
}

const traceId = (): string => randomBytes(16).toString('hex');

try {
  await main(process.argv.slice(2));
} catch (error) {
  process.stderr.write(`npm start: ${explain(error)}\n`);
  process.exitCode = 1;
}
