import { Failure } from '@cairn/failure';
import type { ObjectStore } from './object-store.ts';

/**
 * An object by the version that was put first. The archive gives a name once (`If-None-Match`) and locks what it gave: whoever
 * may write can put versions in front of it, or hide it, and cannot take it away. So the first is the evidence.
 */
export interface FirstVersion {
  readonly key: string;
  readonly version: string;
  readonly bytes: number;
  /** What was done to it since: versions were put in front, or it was hidden behind a delete marker. Neither is archival's. */
  readonly disturbed: 'replaced' | 'hidden' | undefined;
}

/** The objects under a prefix, rising by key, each by the version that was put first. */
export async function* firstVersions(
  store: Pick<ObjectStore, 'listVersions'>,
  prefix: string,
): AsyncGenerator<FirstVersion> {
  let here:
    | {
        key: string;
        first: { version: string; bytes: number } | undefined;
        versions: number;
        hidden: boolean;
      }
    | undefined;
  const told = (): FirstVersion[] => {
    if (here?.first === undefined) return [];
    const disturbed = here.hidden ? 'hidden' : here.versions > 1 ? 'replaced' : undefined;
    return [{ key: here.key, ...here.first, disturbed }];
  };
  for await (const { key, version, bytes, latest, deleteMarker } of store.listVersions(prefix)) {
    if (key !== here?.key) {
      yield* told();
      here = { key, first: undefined, versions: 0, hidden: false };
    }
    if (deleteMarker) here.hidden ||= latest;
    else {
      here.first = { version, bytes };
      here.versions += 1;
    }
  }
  yield* told();
}

/**
 * The version of a key that was put first.
 *
 * @throws Failure `s3.missing` (no)
 */
export async function firstVersion(store: Pick<ObjectStore, 'listVersions'>, key: string): Promise<string> {
  for await (const first of firstVersions(store, key)) if (first.key === key) return first.version;
  throw new Failure({ code: 's3.missing', retry: 'no', message: `the object store has no ${key}` });
}
