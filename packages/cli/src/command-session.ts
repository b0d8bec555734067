import { reconstructSession, renderSession, type Session, type SessionStep, visible } from '@cairn/session';
import { type ApiAccess, askApi } from './ask-api.ts';
import { EXIT } from './exit-codes.ts';
import { noteMore, type Output, tableOf } from './output.ts';
import { findSessions, listSessions, readSession } from './read-session.ts';
import type { OpenTrail } from './trail.ts';

/** Sessions that are named where an id is the beginning of several. */
const NAMED_MAX = 5;

/** `cairn session <id>`: the exact sequence of one session, decisions beside outcomes. */
export async function showSession(open: OpenTrail, output: Output, id: string): Promise<number> {
  await using trail = open();
  let events = await readSession(trail, id);
  if (events.length === 0) {
    const candidates = await findSessions(trail, id, NAMED_MAX + 1);
    if (candidates.length > 1) {
      const named = candidates.slice(0, NAMED_MAX).map(visible).join(', ');
      const more = candidates.length > NAMED_MAX ? ' and more' : '';
      output.note(`Several sessions begin with ${visible(id)}: ${named}${more}. Give more of the id.`);
      return EXIT.failed;
    }
    if (candidates[0] !== undefined) events = await readSession(trail, candidates[0]);
  }
  if (events.length === 0) {
    output.note(`No event of a session ${visible(id)}. \`cairn sessions\` lists the latest.`);
    return EXIT.failed;
  }
  const session = reconstructSession(events);
  output.value(session);
  output.line(renderSession(session, { width: output.width, color: output.color }));
  return EXIT.ok;
}

/** As the query API answers. */
interface ApiSession extends Session {
  readonly steps: readonly (SessionStep & { readonly signed: boolean })[];
  readonly gaps: readonly object[];
  readonly more_gaps: boolean;
  readonly more_handoffs: boolean;
}

/**
 * `cairn session <id> --api`: the same out of the query API, which answers with the steps in their order (docs/api.md), and with what the
 * key's role may see of them. The id is whole: the API looks for no beginning.
 *
 * @throws Failure `api.refused`, `api.unreachable`
 */
export async function showApiSession(output: Output, api: ApiAccess, id: string): Promise<number> {
  const answer = await askApi(api, `/v1/sessions/${encodeURIComponent(id)}`);
  const session = (await answer.json()) as ApiSession;
  output.value(session);
  output.line(renderSession(session, { width: output.width, color: output.color }));
  const unsigned = session.steps.filter(({ signed }) => !signed).length;
  if (unsigned > 0)
    output.note(`${unsigned} of ${session.steps.length} steps are not covered by a signature yet.`);
  if (session.gaps.length > 0)
    output.note(
      `Its streams have ${session.more_gaps ? 'more than ' : ''}${session.gaps.length} gaps: there may have been more.`,
    );
  if (session.more_handoffs) output.note('More sessions share its traces than were answered.');
  return EXIT.ok;
}

/** `cairn sessions`: the latest sessions. */
export async function showSessions(open: OpenTrail, output: Output, limit: number): Promise<number> {
  await using trail = open();
  const found = await listSessions(trail, limit + 1);
  const sessions = found.slice(0, limit);
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
  noteMore(output, found.length, limit);
  return EXIT.ok;
}
