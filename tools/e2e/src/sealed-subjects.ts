import { spawnSync } from 'node:child_process';
import { randomUUIDv7 } from 'node:crypto';
import { type Dirent, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type AuditEvent, parseUuid } from '@cairn/event';
import { type Manifest, readSegment } from '@cairn/ledger';
import { REPOSITORY, S3_ACCESS_KEY, S3_SECRET_KEY } from '@cairn/local';
import {
  joinBlocks,
  keyMadeEvent,
  makeKeyEncryptionKey,
  readKeyEncryptionKey,
  SubjectKeys,
  sealBlock,
} from '@cairn/privacy';
import type { ArchiveRig } from './archive-rig.ts';

/** Stands in every value that is sealed here, and in the clear nowhere. */
export const CANARY = 'Marta-Lindqvist-Fjordgata-14';
/** Stands beside it in the clear, so that a search that finds nothing is seen to search. */
export const CONTROL = 'in-the-clear-beside-it';

/** Subjects of one organisation, of each of whom one value is sealed in one event, as a gateway does it. */
export interface SealedSubjects {
  readonly subjects: readonly string[];
  /** Of each subject, in order. */
  readonly eventIds: readonly string[];
  readonly directory: string;
  readonly kekFile: string;
  /** Seals for so many more subjects, and records it. */
  record(count: number): Promise<void>;
  /** A command of the command line that acts as a person, as a process. */
  act(
    args: readonly string[],
    env?: Readonly<Record<string, string>>,
  ): { code: number | null; stdout: string; stderr: string };
  /** Files of the whole deployment that hold a text: logs of Kafka and of the parts, spools, objects, tables. */
  filesWith(text: string): string[];
  /** Events of the archive's segments that hold a text. */
  archivedWith(text: string, manifests: readonly Manifest[]): Promise<number>;
}

export async function sealedSubjects(rig: ArchiveRig, org: string): Promise<SealedSubjects> {
  const directory = join(rig.directory, 'subjects');
  const kekFile = join(rig.directory, 'kek');
  await makeKeyEncryptionKey(kekFile);
  const keys = new SubjectKeys({
    directory,
    keyEncryptionKeys: [await readKeyEncryptionKey(kekFile)],
    onMade: async (key) => void (await rig.recorder.record(keyMadeEvent(key))),
  });
  const subjects: string[] = [];
  const eventIds: string[] = [];

  const recordOne = async (subject: string, eventId: Uint8Array): Promise<void> => {
    const opened = (await keys.keyFor(org, subject))!;
    const place = { orgId: org, subject, field: 'parameters_sealed', eventId } as const;
    const values = [{ name: 'customer.name', value: `${CANARY} ${subject}` }];
    const draft: Partial<AuditEvent> & { org_id: string; kind: 'tool_call'; phase: 'single' } = {
      event_id: eventId,
      org_id: org,
      kind: 'tool_call',
      phase: 'single',
      tool_name: CONTROL,
      parameters_sealed: joinBlocks([sealBlock(opened.dataKey, opened.key.keyId, place, values)]),
    };
    await rig.recorder.record(draft);
  };

  return {
    subjects,
    eventIds,
    directory,
    kekFile,
    async record(count) {
      const first = subjects.length;
      for (let at = first; at < first + count; at += 1) {
        subjects.push(`t1_${String(at).padStart(22, '0')}`);
        eventIds.push(randomUUIDv7());
      }
      await Promise.all(
        subjects.slice(first).map((subject, at) => recordOne(subject, parseUuid(eventIds[first + at]!))),
      );
    },
    act(args, env = {}) {
      const main = join(REPOSITORY, 'packages', 'cli', 'src', 'main.ts');
      const { status, stdout, stderr } = spawnSync(process.execPath, [main, ...args], {
        encoding: 'utf8',
        maxBuffer: 2 ** 26,
        env: {
          PATH: process.env['PATH'],
          ...rig.parts.env(),
          S3_ACCESS_KEY,
          S3_SECRET_KEY,
          CAIRN_RETENTION_CONFIG: rig.env['CAIRN_RETENTION_CONFIG'],
          CAIRN_SUBJECTS_DIRECTORY: directory,
          CAIRN_KEY_ENCRYPTION_KEYS: kekFile,
          ...env,
        },
      });
      return { code: status, stdout, stderr };
    },
    filesWith: (text) => [...filesBelow(rig.directory)].filter((file) => readWhole(file)?.includes(text)),
    async archivedWith(text, manifests) {
      let events = 0;
      for (const { origin, first, end, objects } of manifests) {
        const parts = await Promise.all(
          objects.map(async ({ key, schema }) => ({
            schemaId: schema,
            bytes: await rig.store.get(key, { bytesMax: 2 ** 28 }),
          })),
        );
        readSegment({ origin, first, end }, parts, ({ bytes, start, end: to }) => {
          if (Buffer.from(bytes.subarray(start, to)).includes(text)) events += 1;
        });
      }
      return events;
    },
  };
}

/** Files below a folder. Kafka's indexes hold offsets alone, and are large before they are full. */
function* filesBelow(directory: string): Generator<string> {
  let entries: Dirent[] = [];
  try {
    entries = readdirSync(directory, { withFileTypes: true });
  } catch (error) {
    // Parts of the table and segments of the log come and go.
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  for (const entry of entries) {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) yield* filesBelow(path);
    else if (entry.isFile() && !/\.(time)?index$/.test(entry.name)) yield path;
  }
}

function readWhole(file: string): Buffer | undefined {
  try {
    return readFileSync(file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Private key as the command line reads it. */
export function writePem(
  path: string,
  key: { export(options: { type: 'pkcs8'; format: 'pem' }): string | Buffer },
): string {
  writeFileSync(path, key.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
  return path;
}
