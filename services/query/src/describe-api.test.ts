import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { PROBLEMS } from './problem.ts';
import { ROUTES } from './routes.ts';

test('the client package is what the description says', () => {
  execFileSync(process.execPath, [join(import.meta.dirname, '..', 'gen', 'generate-client.ts'), '--check']);
});

test('no two routes share a name, and each records under a name of its own', () => {
  expect(new Set(ROUTES.map(({ id }) => id)).size).toBe(ROUTES.length);
  expect(new Set(ROUTES.map(({ recorded: [, method] }) => method)).size).toBe(ROUTES.length);
});

test('every code of a problem has a status that is an error', () => {
  for (const [status] of Object.values(PROBLEMS)) expect(status).toBeGreaterThanOrEqual(400);
});
