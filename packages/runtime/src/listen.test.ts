import { createServer } from 'node:http';
import { expect, test } from '@jest/globals';
import { serveUntilDisposed } from './listen.ts';

test('a request that is under way when the server is disposed of is answered, and no other is taken', async () => {
  const begun = Promise.withResolvers<void>();
  const answer = Promise.withResolvers<void>();
  const server = createServer((_request, response) => {
    begun.resolve();
    void answer.promise.then(() => response.end('answered'));
  });
  const { port, ...served } = await serveUntilDisposed(server, 0, '127.0.0.1');
  const asked = fetch(`http://127.0.0.1:${port}/`).then((response) => response.text());
  await begun.promise;
  const disposed = served[Symbol.asyncDispose]();
  await expect(fetch(`http://127.0.0.1:${port}/`)).rejects.toThrow();
  answer.resolve();
  expect(await asked).toBe('answered');
  await disposed;
});
