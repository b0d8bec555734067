import { setTimeout as sleep } from 'node:timers/promises';
import { openClickHouse } from '@cairn/adapters';
import { readSession } from '@cairn/cli/read-session';
import { Failure } from '@cairn/failure';
import { reconstructSession, type Session } from '@cairn/session';

/**
 * Waits until the table has the whole of a session: as many finished calls as the agent made, and no decision without
 * its outcome.
 *
 * @throws Failure `demo.session-missing`
 */
export async function awaitSession(
  clickhouseUrl: string,
  sessionId: string,
  calls: number,
  msMax = 60_000,
): Promise<Session> {
  await using clickhouse = openClickHouse({ url: clickhouseUrl });
  const deadline = performance.now() + msMax;
  let seen = 0;
  while (performance.now() < deadline) {
    const events = await readSession(clickhouse, sessionId);
    const session = events.length > 0 ? reconstructSession(events) : undefined;
    seen = session?.steps.filter(isFinishedCall).length ?? 0;
    if (session && seen >= calls && session.findings.length === 0) return session;
    await sleep(200);
  }
  throw new Failure({
    code: 'demo.session-missing',
    retry: 'no',
    message: `session ${sessionId}: ${seen} of ${calls} calls arrived in ${msMax / 1_000} s`,
    mend: 'Read the logs of gateway and ingest.',
  });
}

const isFinishedCall = ({ kind, result_status }: Session['steps'][number]): boolean =>
  kind === 'tool_call' && result_status !== 'unknown' && result_status !== 'pending';
