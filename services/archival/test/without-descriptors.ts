// A process that has run out of file descriptors: puts objects into a store while it has none, and again when it has some.
// Started with few of them by store-object.contract.test.ts; prints what became of each object.
import { closeSync, openSync } from 'node:fs';
import { openObjectStore } from '@cairn/adapters';
import { isFailure, messageOf } from '@cairn/failure';
import { storeObject } from '../src/store-object.ts';

const [endpoint = '', bucket = '', accessKey = '', secretKey = ''] = process.argv.slice(2);
const store = await openObjectStore({ endpoint, bucket, accessKey, secretKey });
// The service has run for a while.
await store.head('nothing');

const puts = (): Promise<string[]> =>
  Promise.all(
    Array.from({ length: 8 }, (_, number) =>
      storeObject(store, `object-${number}`, Buffer.from(`bytes ${number}`), Date.now() + 60_000).then(
        ({ bytes }) => Buffer.from(bytes).toString(),
        (error: unknown) => (isFailure(error) ? `${error.code} ${error.retry}` : messageOf(error)),
      ),
    ),
  );

const held: number[] = [];
try {
  for (;;) held.push(openSync('/dev/null', 'r'));
} catch (error) {
  if ((error as NodeJS.ErrnoException).code !== 'EMFILE') throw error;
}
const without = await puts();
for (const descriptor of held) closeSync(descriptor);
const withSome = await puts();
process.stdout.write(JSON.stringify({ held: held.length, without, withSome }));
await store[Symbol.asyncDispose]();
