import { isFailure } from '@cairn/failure';
import { SearchMistake } from '@cairn/search';
import { visible } from '@cairn/session';
import { z } from 'zod';

/** RFC 9457, with a code that never changes and, where a search is wrong, its place. */
export const problemSchema = z
  .object({
    type: z.string().describe('Page that says what the code means.'),
    title: z.string(),
    status: z.int(),
    detail: z.string().describe('What went wrong and what to do about it. Without control characters.'),
    instance: z.string().describe('Id of the request, as in X-Request-Id.'),
    code: z.string(),
    errors: z.array(z.object({ pointer: z.string(), detail: z.string() })).optional(),
    position: z.int().optional().describe('Characters before the mistake in a search or a statement.'),
    length: z.int().optional(),
    instead: z.string().optional().describe('What to write instead.'),
  })
  .meta({ id: 'Problem' });
export type Problem = z.infer<typeof problemSchema>;

/** Every code that an answer can have, with its status and title; docs/api.md says more. */
export const PROBLEMS = {
  'request.invalid': [400, 'The request is not as the description says'],
  'search.invalid': [400, 'The search cannot be read'],
  'cursor.invalid': [400, 'The cursor does not belong to this request'],
  'sql.refused': [400, 'The statement is not one that is run here'],
  'sql.failed': [400, 'The statement failed'],
  'access.invalid': [400, 'Such a key is not made'],
  'hold.invalid': [400, 'The statement about a hold does not count'],
  'access.unauthenticated': [401, 'A valid credential is needed'],
  'access.forbidden': [403, 'This role or key may not do that'],
  'not-found': [404, 'There is no such thing'],
  'method.not-allowed': [405, 'This method is not served here'],
  'format.not-acceptable': [406, 'This format is not written here'],
  'not-configured': [409, 'This installation does not have what that needs'],
  'hold.raced': [409, 'Another statement came first'],
  'archive.deleted': [410, 'It was deleted when its retention ended'],
  'cursor.expired': [410, 'What lies behind the cursor has left ClickHouse'],
  'idempotency.running': [409, 'The first request with this key is not answered yet'],
  'precondition.failed': [412, 'It was changed meanwhile'],
  'body.too-large': [413, 'The body is too large'],
  'body.unsupported': [415, 'The body is not JSON'],
  'answer.too-large': [422, 'The answer would be too large'],
  'idempotency.different': [422, 'This key was sent with another request'],
  'precondition.required': [428, 'Say which version is to be changed'],
  'rate.exceeded': [429, 'Too many requests'],
  'act.unconfirmed': [503, 'It may have been done'],
  'archive.broken': [500, 'The archive is not what was signed'],
  internal: [500, 'The service failed'],
  unavailable: [503, 'Something that this needs does not answer'],
} as const satisfies Record<string, readonly [number, string]>;
export type ProblemCode = keyof typeof PROBLEMS;

/** What a handler throws to end a request with a problem. */
export class Refusal extends Error {
  readonly code: ProblemCode;
  readonly more: Partial<Pick<Problem, 'errors' | 'position' | 'length' | 'instead'>>;

  /** @param cause what failed underneath: for the log, never for the caller. */
  constructor(code: ProblemCode, detail: string, more: Refusal['more'] = {}, cause?: unknown) {
    super(detail, cause === undefined ? undefined : { cause });
    this.code = code;
    this.more = more;
  }
}

/** A text of so many characters at most, which says where it was cut. */
export const cutTo = (most: number, text: string): string =>
  text.length <= most ? text : `${text.slice(0, most).toWellFormed()}…`;

/** Any error as what the caller is told. Of what failed inside, no message goes out: it may hold what others recorded. */
export function problemOf(error: unknown, requestId: string): Problem {
  const refusal = refusalOf(error);
  const { errors, instead, ...more } = refusal.more;
  const [status, title] = PROBLEMS[refusal.code];
  return {
    type: `https://github.com/cairn-audit/cairn/blob/main/docs/api.md#${refusal.code.replaceAll('.', '')}`,
    title,
    status,
    detail: visible(refusal.message),
    instance: requestId,
    code: refusal.code,
    ...more,
    // Of both, parts are of the request.
    ...(errors && {
      errors: errors.map(({ pointer, detail }) => ({ pointer: visible(pointer), detail: visible(detail) })),
    }),
    ...(instead !== undefined && { instead: visible(instead) }),
  };
}

/** What the archive's own judgement ended with. */
const BROKEN: ReadonlySet<string> = new Set(['archive.broken', 'answer.unproven', 'key-history.broken']);

function refusalOf(error: unknown): Refusal {
  if (error instanceof Refusal) return error;
  if (error instanceof SearchMistake) {
    const { at, length, instead, message } = error;
    return new Refusal('search.invalid', `${message} ${instead}`, { position: at, length, instead });
  }
  if (isFailure(error, 'access.invalid'))
    return new Refusal('access.invalid', error.publicMessage ?? error.message);
  if (isFailure(error) && BROKEN.has(error.code))
    return new Refusal(
      'archive.broken',
      'Nothing of it is shown. Run `cairn verify`, which names what is wrong.',
    );
  if (isFailure(error, 'archive.deleted'))
    return new Refusal('archive.deleted', 'What was signed of it stays: its leaf hash and its checkpoint.');
  if (isFailure(error, 'question.too-large') || isFailure(error, 'question.invalid'))
    return new Refusal('answer.too-large', `${error.message}. ${error.mend ?? ''}`);
  if (isFailure(error, 'clickhouse.busy'))
    return new Refusal(
      'unavailable',
      'It took too long or needed too much. Ask for less time, or try again later.',
    );
  if (isFailure(error) && error.retry !== 'no') return new Refusal('unavailable', 'Try again later.');
  return parserRefusal(error) ?? new Refusal('internal', 'Its log says why, under the id of this request.');
}

/** Errors of Express and its body parser carry a status. */
function parserRefusal(error: unknown): Refusal | undefined {
  const { status, type } = (error ?? {}) as { status?: unknown; type?: unknown };
  if (status === 413) return new Refusal('body.too-large', 'A body has at most 256 KiB.');
  if (status === 415) return new Refusal('body.unsupported', 'Send application/json in UTF-8.');
  if (status === 400 && typeof type === 'string')
    return new Refusal('request.invalid', 'The body is no JSON.');
  return status === 400 ? new Refusal('request.invalid', 'The address cannot be read.') : undefined;
}
