/** What a segment holds, as canonical JSON in a note by the archive key (schemas/ledger.md, "Manifest"). */
import { z } from 'zod';
import { type HashText, hexOfHash, ZERO_HASH } from './hash-text.ts';
import type { NoteKey } from './note-key.ts';
import type { NoteSigner } from './signed-note.ts';
import { countForm, openStatement, sha256Form, signStatement, textForm, timeForm } from './statement.ts';

const objectForm = z.strictObject({
  /** CRC-64-AVRO of the writer's schema as entries carry it, hex. */
  crc64: z.string().regex(/^[0-9a-f]{16}$/),
  key: textForm,
  /** Rows. */
  leaves: countForm,
  /** Id of the writer's schema. */
  schema: countForm,
  /** SHA-256 of that schema's parsing canonical form. */
  schema_sha256: sha256Form,
  sha256: sha256Form,
  /** Bytes. */
  size: countForm,
  /** The store's; empty when it has none. */
  version_id: textForm,
});

const streamRangeForm = z.strictObject({
  closed: z.boolean(),
  epoch: timeForm,
  events: countForm,
  first_seq: timeForm,
  gateway: z.string(),
  head: sha256Form,
  last_seq: timeForm,
  link: sha256Form,
  org: z.string(),
  /** −1 when none of its events here is signed. */
  sealed_to: timeForm,
  whole: z.boolean(),
});

export const manifestForm = z.strictObject({
  end: countForm,
  first: countForm,
  kind: z.literal('cairn/manifest'),
  nodes: z.array(sha256Form).max(128),
  objects: z.array(objectForm).min(1).max(256),
  offsets: z.strictObject({ first: countForm, last: countForm }),
  origin: textForm,
  pieces: z.array(sha256Form).max(257),
  previous: sha256Form,
  /** Milliseconds. */
  received: z.strictObject({ max: timeForm, min: timeForm }),
  retention: z.strictObject({
    class: textForm,
    mode: z.enum(['COMPLIANCE', 'GOVERNANCE', 'NONE']),
    policy: textForm,
    /** Milliseconds; 0 with NONE. */
    until: countForm,
  }),
  root: sha256Form,
  streams: z.array(streamRangeForm).min(1),
  /** Microseconds. */
  timestamps: z.strictObject({ max: timeForm, min: timeForm }),
  v: z.literal(1),
});

export type Manifest = z.infer<typeof manifestForm>;
export type ManifestObject = Manifest['objects'][number];
/** What a segment has of one stream, (organisation, gateway, epoch). */
export type StreamRange = Manifest['streams'][number];

/** What a manifest says besides what its segment says of itself. */
export interface ManifestFacts {
  /** Of the log at the segment's end. */
  readonly root: HashText;
  /** SHA-256 of the whole note of the manifest before, hex; undefined for the first. */
  readonly previous: string | undefined;
  readonly retention: Manifest['retention'];
  /** The store's, for each object in order; undefined where it has none. */
  readonly versionIds?: readonly (string | undefined)[];
}

/** What a segment says of itself when it is written. */
interface Written {
  readonly range: Pick<Manifest, 'origin'>;
  readonly objects: readonly { readonly entry: ManifestObject }[];
  readonly summary: Omit<Manifest, 'kind' | 'objects' | 'origin' | 'previous' | 'retention' | 'root' | 'v'>;
}

export function manifestOf({ range, objects, summary }: Written, facts: ManifestFacts): Manifest {
  const { root, previous, retention, versionIds } = facts;
  return {
    ...summary,
    kind: 'cairn/manifest',
    objects: objects.map(({ entry }, at) => ({ ...entry, version_id: versionIds?.[at] ?? '' })),
    origin: range.origin,
    previous: previous ?? hexOfHash(ZERO_HASH),
    retention,
    root: hexOfHash(root),
    v: 1,
  };
}

export const signManifest = (manifest: Manifest, signer: NoteSigner): Uint8Array<ArrayBuffer> =>
  signStatement(manifest, signer);

/** @throws Failure `statement.invalid`, or of a `NoteReason`. */
export const openManifest = (note: Uint8Array, keys: readonly NoteKey[]): Manifest =>
  openStatement(note, keys, manifestForm);
