import { setTimeout as sleep } from 'node:timers/promises';
import { Failure } from '@cairn/failure';
import type { ObjectStore } from '../src/object-store.ts';

/**
 * What happens to one call:
 * - `before`: it fails and was not applied.
 * - `after`: it was applied and its answer is lost. A reading ends after its first piece or item.
 * - `doubled`: it is applied twice, as when a request is repeated on the way; the second answer comes back.
 * - `altered`: it is applied, and bytes that are read come back with one bit turned.
 * - a number: it is applied that many milliseconds later.
 */
export type Fault = 'before' | 'after' | 'doubled' | 'altered' | number;

export type StoreMethod = Exclude<keyof ObjectStore, typeof Symbol.asyncDispose>;

export interface StoreCall {
  readonly method: StoreMethod;
  /** The key or the prefix; empty for `ensureBucket`. */
  readonly key: string;
  /** Of all calls of the store, from 0. */
  readonly index: number;
}

/** The same store, where each call meets the fault that is drawn for it; undefined: none. */
export function faulty(store: ObjectStore, draw: (call: StoreCall) => Fault | undefined): ObjectStore {
  let calls = 0;
  const next = (method: StoreMethod, key: string): Fault | undefined => {
    const index = calls;
    calls += 1;
    return draw({ method, key, index });
  };

  const once = async <T>(method: StoreMethod, key: string, apply: () => Promise<T>): Promise<T> => {
    const fault = next(method, key);
    if (fault === 'before') throw lost(method, key);
    if (typeof fault === 'number') await sleep(fault);
    if (fault === 'doubled') await apply();
    const answer = await apply();
    if (fault === 'after') throw lost(method, key);
    return fault === 'altered' && answer instanceof Uint8Array ? (turned(answer) as T) : answer;
  };

  async function* many<T>(
    method: StoreMethod,
    key: string,
    items: () => AsyncIterable<T>,
  ): AsyncGenerator<T> {
    const fault = next(method, key);
    if (fault === 'before') throw lost(method, key);
    if (typeof fault === 'number') await sleep(fault);
    if (fault === 'doubled') for await (const _ of items());
    let given = 0;
    for await (const item of items()) {
      yield fault === 'altered' && given === 0 && item instanceof Uint8Array ? (turned(item) as T) : item;
      given += 1;
      if (fault === 'after') throw lost(method, key);
    }
    if (fault === 'after') throw lost(method, key);
  }

  return {
    ensureBucket: () => once('ensureBucket', '', () => store.ensureBucket()),
    putLocked: (key, ...rest) => once('putLocked', key, () => store.putLocked(key, ...rest)),
    head: (key, version) => once('head', key, () => store.head(key, version)),
    get: (key, reading) => once('get', key, () => store.get(key, reading)),
    read: (key, reading) => many('read', key, () => store.read(key, reading)),
    list: (prefix, after) => many('list', prefix, () => store.list(prefix, after)),
    listVersions: (prefix) => many('listVersions', prefix, () => store.listVersions(prefix)),
    extendLock: (key, ...rest) => once('extendLock', key, () => store.extendLock(key, ...rest)),
    demandLock: (key, ...rest) => once('demandLock', key, () => store.demandLock(key, ...rest)),
    setLegalHold: (key, ...rest) => once('setLegalHold', key, () => store.setLegalHold(key, ...rest)),
    deleteVersion: (key, version) => once('deleteVersion', key, () => store.deleteVersion(key, version)),
    [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
  };
}

function turned(bytes: Uint8Array): Uint8Array {
  const other = new Uint8Array(bytes);
  const middle = other.length >> 1;
  if (other.length > 0) other[middle] = (other[middle] ?? 0) ^ 1;
  return other;
}

function lost(method: string, key: string): Failure {
  return new Failure({
    code: 's3.unreachable',
    retry: 'later',
    message: `drawn: ${method} ${key} has no answer`,
  });
}
