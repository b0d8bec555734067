// Whatever is in a request, or in what a part says of its failure: no problem and no line of the log has a character that moves the
// cursor, ends a line, hides or reorders.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type Role, SCOPES } from '@cairn/access';
import type { ClickHouse } from '@cairn/adapters';
import { Failure } from '@cairn/failure';
import { createLog } from '@cairn/runtime';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import * as fc from 'fast-check';
import type { ApiArchive } from './open-archive.ts';
import { problemSchema } from './problem.ts';
import { serveApi } from './serve-api.ts';

const UNSAFE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/u;
const HOSTILE = [
  ...['\t', '\n', '\r', '\u001b[31m', '\u007f', '\u0085', '\u009b2J', '\u00ad', '\u061c', '\u200b', '\u200f'],
  ...['\u2028', '\u2029', '\u202a', '\u202e', '\u2066', '\u2069', '\ufeff', '\ufff9', '\u{e0001}'],
];
const hostileText = fc
  .array(fc.constantFrom(...HOSTILE, ...HOSTILE, 'tool', ':', '(', '"', '*', 'a', ' ', 'SELECT ', '[', '{'), {
    minLength: 1,
    maxLength: 10,
  })
  .map((parts) => parts.join(''));

interface Asked {
  readonly role: Role;
  readonly path: string;
  readonly body?: string;
}
const inPath = (role: Role, pathOf: (encoded: string) => string) =>
  hostileText.map((text): Asked => ({ role, path: pathOf(encodeURIComponent(text)) }));
const inBody = (role: Role, path: string, bodyOf: (text: string) => unknown) =>
  hostileText.map((text): Asked => ({ role, path, body: JSON.stringify(bodyOf(text)) }));
const ID = '018f0000-0000-4000-8000-000000000001';

/** A hostile text in each place that a request has. */
const anyRequest = fc.oneof(
  inPath('viewer', (text) => `/v1/${text}`),
  inPath('viewer', (text) => `/v1/events?search=${text}`),
  inPath('viewer', (text) => `/v1/events?${text}=${text}`),
  inPath('viewer', (text) => `/v1/events?cursor=${text}&order=${text}&limit=${text}`),
  inPath('viewer', (text) => `/v1/events/${text}`),
  inPath('viewer', (text) => `/v1/sessions/${text}`),
  inPath('viewer', (text) => `/v1/inventory/${text}`),
  inPath('viewer', (text) => `/v1/facets?fields=${text}`),
  inPath('viewer', (text) => `/v1/segments?after=${text}`),
  inPath('viewer', (text) => `/v1/checkpoints/${text}/${text}/${text}`),
  inPath('auditor', (text) => `/v1/reports/${text}?from=${text}`),
  inPath('auditor', (text) => `/v1/exports/events?format=${text}&after=${text}`),
  inBody('analyst', '/v1/sql', (text) => ({ query: text })),
  inBody('analyst', '/v1/sql', (text) => ({ query: `SELECT ${text} FROM ${text}` })),
  inBody('admin', '/v1/keys', (text) => ({ name: text, role: text, [text]: text })),
  inBody('admin', '/v1/keys', (text) => ({ name: text, role: 'viewer' })),
  inBody('admin', '/v1/saved-searches', (text) => ({ name: text, search: text })),
  inBody('admin', '/v1/saved-searches', (text) => ({ name: 'x', search: text })),
  inBody('admin', '/v1/holds', (text) => ({ note: text })),
  inBody('auditor', `/v1/events/${ID}/unseal`, (text) => ({ reason: text, [text]: 1 })),
  hostileText.map((text): Asked => ({ role: 'admin', path: '/v1/keys', body: text })),
);

/** What a part says of its failure may hold what others recorded. */
const anyFailure = hostileText.chain((text) =>
  fc.constantFrom<Error>(
    new Error(text),
    new Failure({ code: 'clickhouse.refused', retry: 'no', message: `${text} (UNKNOWN_IDENTIFIER 47)` }),
    new Failure({ code: 'clickhouse.busy', retry: 'later', message: text, publicMessage: text, mend: text }),
    new Failure({ code: 'question.too-large', retry: 'no', message: text, mend: text }),
    new Failure({ code: 'access.invalid', retry: 'no', message: text, publicMessage: text }),
    new Failure({ code: 'archive.broken', retry: 'no', message: text }),
  ),
);

let failure: Error;
let lines: string[];
const fails = () => Promise.reject(failure);
const app = serveApi({
  config: {
    org: 'cairn',
    deployment: 'test',
    limits: { perKeyAMinute: 1e6, perAddressAMinute: 1e6, streamsMax: 100 },
  },
  clickhouse: { query: fails, stream: fails, insertRows: fails } as unknown as ClickHouse,
  analyst: { query: fails, stream: fails } as unknown as ClickHouse,
  archive: { state: fails, anchors: fails, reading: fails, lately: () => undefined } as unknown as ApiArchive,
  subjectKeys: { openKey: fails },
  authenticator: {
    callerOf: async (given) => ({
      ...{ orgId: 'acme', id: 'key:1', auth: 'api_key', scopes: SCOPES },
      role: given?.split(' ')[1] as Role,
    }),
  },
  recorder: { record: async () => {} },
  log: createLog({ name: 'query', destination: { write: (line: string) => void lines.push(line) } }),
  nowMs: () => 1_795_000_000_000,
  onAnswered: () => {},
  stopping: new AbortController().signal,
});
const server = createServer(app);
beforeAll(() => new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve)));
afterAll(() => {
  server.closeAllConnections();
  server.close();
});

test('no problem and no log line has a character that moves, hides or reorders, whatever was asked and whatever failed', async () => {
  const { port } = server.address() as AddressInfo;
  const [told, codes] = [new Set<string>(), new Set<string>()];
  let logged = 0;
  await fc.assert(
    fc.asyncProperty(anyRequest, anyFailure, async ({ role, path, body }, failed) => {
      failure = failed;
      lines = [];
      const answer = await fetch(`http://127.0.0.1:${port}${path}`, {
        headers: { authorization: `Bearer ${role}`, 'content-type': 'application/json' },
        ...(body !== undefined && { method: 'POST', body }),
      });
      const text = await answer.text();
      expect(answer.status).toBeGreaterThanOrEqual(400);
      const problem = problemSchema.parse(JSON.parse(text));
      expect(text).not.toMatch(UNSAFE);
      expect(JSON.stringify(texts(problem))).toBe(
        JSON.stringify(texts(problem).map((one) => one.replace(UNSAFE, '?'))),
      );
      for (const line of lines) expect(line.replace(/\n$/, '')).not.toMatch(UNSAFE);
      codes.add(problem.code);
      logged += lines.length;
      if (text.includes('\\\\u{')) told.add(problem.code);
    }),
    { numRuns: 600, seed: 15 },
  );
  // It judged something: problems of many kinds, of which several told what was asked, and lines of failures.
  expect(codes.size).toBeGreaterThan(6);
  expect(told.size).toBeGreaterThan(2);
  expect(logged).toBeGreaterThan(20);
}, 60_000);

/** Every text in a value, as whoever reads the JSON has it. */
function texts(value: unknown): string[] {
  if (typeof value === 'string') return [value];
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(texts) : [];
}
