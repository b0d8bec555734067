import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { referencePage } from './describe-api.ts';
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

test('the page for people has the body that a route takes and the members of what it answers, those of records within too', () => {
  const page = referencePage();
  const [, of = ''] = page.split('<code>POST /v1/keys</code>');
  const [route = ''] = of.split('<h2 ');
  expect(route).toContain('Body: <code>application/json</code>');
  expect(route).toMatch(/<code>days<\/code><\/td><td>integer, optional/);
  expect(route).toContain('Answer 201');
  expect(route).toMatch(/<code>key\.expires_at<\/code>/);
  expect(route).toMatch(/<code>text<\/code><\/td><td>string<\/td><td>The key\. Shown once\./);
  expect(page).toContain('<code>events[].leaf_hash</code>');
  expect(page.split('<h2 ').length - 1).toBe(ROUTES.length);
  expect(page).not.toMatch(/undefined|\[object/);
});
