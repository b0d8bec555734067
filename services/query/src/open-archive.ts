import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type AnchorLog,
  type ArchiveState,
  deploymentOf,
  type Evidence,
  keepArchive,
  openEvidence,
  readSigner,
} from '@cairn/archive';
import { Failure } from '@cairn/failure';
import { archiveKeyName, greatestOf, type NoteKey, type NoteSigner, parseVkey } from '@cairn/ledger';
import type { Collections } from '@cairn/query';
import type { QueryConfig } from './config.ts';
import { Refusal } from './problem.ts';

/** The archive as the API has it. */
export interface ApiArchive extends AsyncDisposable {
  readonly evidence: Evidence;
  readonly deployment: string;
  readonly rootKey: NoteKey;
  /** How ClickHouse knows it. */
  readonly collections: Collections;
  /** Signs bundles; undefined where no key is configured. */
  readonly signer: NoteSigner | undefined;
  readonly retentionFile: string;
  /** For bundles while they are made and sent; emptied at the start. */
  readonly directory: string;
  /** As it was some seconds ago at most. @throws Failure `archive.broken`, `key-history.broken` (no); of the store. */
  state(): Promise<ArchiveState>;
  anchors(): Promise<AnchorLog>;
  /** As it was seen last, at once; it is looked at anew behind it. Undefined until it was read once. */
  lately(): SeenArchive | undefined;
  /** Does what reads segments, which is much: only so many at the same time. @throws Refusal `rate.exceeded` */
  reading<Result>(work: () => Promise<Result>): Promise<Result>;
}

export interface SeenArchive extends ArchiveState {
  /** Leaves of each log that a checkpoint in the anchor log covers. */
  readonly anchoredTo: ReadonlyMap<string, number>;
}

/** A segment ends within minutes, and each look lists all names. */
const AGE_MS_MAX = 15_000;
/** A segment takes some 9 MB and 0.3 s of CPU. */
const READING_MAX = 4;

/**
 * @param onUnread told when it could not be looked at behind an answer.
 * @throws Failure `config.invalid`, `key.invalid`, `evidence.unreadable`.
 * @returns undefined where none is configured.
 */
export async function openArchive(
  config: Pick<
    QueryConfig,
    's3' | 'rootVkey' | 'deployment' | 'collections' | 'bundleKeyFile' | 'retentionFile' | 'dataDirectory'
  >,
  nowMs: () => number,
  onUnread: (error: unknown) => void,
): Promise<ApiArchive | undefined> {
  const { s3, rootVkey, deployment, collections, bundleKeyFile, retentionFile } = config;
  if (s3 === undefined || rootVkey === undefined) return undefined;
  const rootKey = parseVkey(rootVkey.trim());
  if (deploymentOf(rootKey) !== deployment || !rootKey.name.endsWith('/root'))
    throw new Failure({
      code: 'config.invalid',
      retry: 'no',
      message: `the root key is ${rootKey.name}, and the deployment is ${deployment}`,
      mend: 'Set CAIRN_ROOT_KEY and CAIRN_DEPLOYMENT as archival has them.',
    });
  const signer =
    bundleKeyFile === undefined ? undefined : await readSigner(bundleKeyFile, archiveKeyName(deployment));
  const directory = join(config.dataDirectory, 'bundles');
  await rm(directory, { recursive: true, force: true });
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const own = new AsyncDisposableStack();
  const evidence = own.use(await openEvidence(`s3://${s3.bucket}`, s3));
  const copies = s3.copies === undefined ? undefined : own.use(await openEvidence(`s3://${s3.copies}`, s3));
  const kept = keepArchive({ evidence, rootKey, copies, nowMs, ageMsMax: AGE_MS_MAX });
  let readers = 0;
  let seen: SeenArchive | undefined;
  let looking: Promise<void> | undefined;
  async function look(): Promise<void> {
    const [state, { report }] = [await kept.state(), await kept.anchors()];
    const anchoredTo = [...report.checkpoints].map(
      ([origin, of]) => [origin, greatestOf(of.values().map(({ size }) => size))] as const,
    );
    seen = { ...state, anchoredTo: new Map(anchoredTo) };
  }
  function lately(): SeenArchive | undefined {
    if (seen === undefined || nowMs() - seen.readAtMs >= AGE_MS_MAX)
      looking ??= look()
        .catch(onUnread)
        .finally(() => {
          looking = undefined;
        });
    return seen;
  }
  lately();
  own.defer(async () => looking);
  return {
    evidence,
    deployment,
    rootKey,
    collections,
    signer,
    retentionFile,
    directory,
    state: () => kept.state(),
    anchors: () => kept.anchors(),
    lately,
    async reading(work) {
      if (readers >= READING_MAX)
        throw new Refusal('rate.exceeded', 'As many requests read the archive as may at the same time.');
      readers += 1;
      try {
        return await work();
      } finally {
        readers -= 1;
      }
    },
    [Symbol.asyncDispose]: () => own.disposeAsync(),
  };
}

/** @throws Refusal `not-configured` */
export function archiveOf(archive: ApiArchive | undefined): ApiArchive {
  if (archive !== undefined) return archive;
  throw new Refusal(
    'not-configured',
    'This service has no archive: S3_ENDPOINT, S3_ACCESS_KEY, S3_SECRET_KEY and CAIRN_ROOT_KEY name it.',
  );
}
