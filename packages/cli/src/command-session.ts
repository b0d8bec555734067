import { reconstructSession, renderSession } from '@cairn/session';
import { EXIT } from './exit-codes.ts';
import { type Output, tableOf } from './output.ts';
import { findSessions, listSessions, readSession } from './read-session.ts';
import type { OpenTrail } from './trail.ts';

/** `cairn session <id>`: the exact sequence of one session, decisions beside outcomes. */
export async function showSession(open: OpenTrail, output: Output, id: string): Promise<number> {
  await using trail = open();
  let events = await readSession(trail, id);
  if (events.length === 0) {
    const candidates = await findSessions(trail, id, 6);
    if (candidates.length > 1) {
      output.note(`Several sessions begin with ${id}: ${candidates.join(', ')}. Give more of the id.`);
      return EXIT.failed;
    }
    if (candidates[0] !== undefined) events = await readSession(trail, candidates[0]);
  }
  if (events.length === 0) {
    output.note(`No event of a session ${id}. \`cairn sessions\` lists the latest.`);
    return EXIT.failed;
  }
  const session = reconstructSession(events);
  output.value(session);
  output.line(renderSession(session, { width: output.width, color: output.color }));
  return EXIT.ok;
}

/** `cairn sessions`: the latest sessions. */
export async function showSessions(open: OpenTrail, output: Output, limit: number): Promise<number> {
  await using trail = open();
  const sessions = await listSessions(trail, limit);
  for (const session of sessions) output.value(session);
  if (sessions.length === 0) {
    output.note('No session has been recorded yet.');
    return EXIT.ok;
  }
  const rows = sessions.map((session) => [
    session.session_id,
    session.org_id,
    session.agent_id,
    session.first,
    session.last,
    String(session.calls),
    String(session.denied),
    String(session.failed),
  ]);
  const header = ['SESSION', 'ORG', 'AGENT', 'FIRST', 'LAST', 'CALLS', 'DENIED', 'FAILED'];
  for (const line of tableOf(header, rows)) output.line(line);
  return EXIT.ok;
}
