/** The decision to delete a segment's objects, and what became of it (schemas/ledger.md, "Tombstone and deletion"). */
import { z } from 'zod';
import { sha256Hex } from './hash-text.ts';
import type { Manifest } from './manifest.ts';
import type { NoteKey } from './note-key.ts';
import type { NoteSigner } from './signed-note.ts';
import { countForm, openStatement, sha256Form, signStatement, textForm } from './statement.ts';

export const tombstoneForm = z.strictObject({
  decided_at: countForm,
  decided_by: textForm,
  end: countForm,
  first: countForm,
  holds: z.strictObject({ checked: countForm, checked_at: countForm, sha256: sha256Form }),
  kind: z.literal('cairn/tombstone'),
  manifest_sha256: sha256Form,
  nodes: z.array(sha256Form).max(128),
  objects: z.array(z.strictObject({ key: textForm, version_ids: z.array(textForm).max(10_000) })).min(1),
  origin: textForm,
  policy: z.strictObject({ class: textForm, until: countForm, version: textForm }),
  root: sha256Form,
  v: z.literal(1),
});
export type Tombstone = z.infer<typeof tombstoneForm>;

export const deletionForm = z.strictObject({
  absent: z.boolean(),
  answers: z.array(z.strictObject({ answer: textForm, key: textForm, version_id: textForm })),
  deleted_at: countForm,
  first: countForm,
  kind: z.literal('cairn/deletion'),
  origin: textForm,
  tombstone_sha256: sha256Form,
  v: z.literal(1),
});
export type Deletion = z.infer<typeof deletionForm>;

/** What is decided besides what the manifest says. Times in milliseconds since 1970. */
export interface DeletionDecision {
  readonly decidedAtMs: number;
  /** The job or the person. */
  readonly decidedBy: string;
  /** Legal holds that were compared, and the SHA-256 (hex) of their list. */
  readonly holds: { readonly checked: number; readonly checkedAtMs: number; readonly sha256: string };
  readonly policy: { readonly class: string; readonly untilMs: number; readonly version: string };
  /** Every version that the store holds, for each object of the manifest, in its order. */
  readonly versionIds: readonly (readonly string[])[];
}

/**
 * Of the versions that a tombstone names. It is an entry of the anchor log, which has at most 65,535 bytes, and whoever may put
 * objects into the bucket decides how many versions there are.
 */
const VERSION_BYTES_MAX = 16_384;

/** @param manifestNote the whole note of the segment's manifest. */
export function tombstoneOf(
  manifest: Manifest,
  manifestNote: Uint8Array,
  decision: DeletionDecision,
): Tombstone {
  const { decidedAtMs, decidedBy, holds, policy, versionIds } = decision;
  return {
    decided_at: decidedAtMs,
    decided_by: decidedBy,
    end: manifest.end,
    first: manifest.first,
    holds: { checked: holds.checked, checked_at: holds.checkedAtMs, sha256: holds.sha256 },
    kind: 'cairn/tombstone',
    manifest_sha256: sha256Hex(manifestNote),
    nodes: manifest.nodes,
    objects: manifest.objects.map(({ key, version_id: first }, at) => ({
      key,
      version_ids: namedVersions(first, versionIds[at] ?? [], VERSION_BYTES_MAX / manifest.objects.length),
    })),
    origin: manifest.origin,
    policy: { class: policy.class, until: policy.untilMs, version: policy.version },
    root: manifest.root,
    v: 1,
  };
}

/** The version that the manifest names, if it is there, and as many of the others as there is room for. */
function namedVersions(first: string, versions: readonly string[], bytesMax: number): string[] {
  const named: string[] = [];
  let bytes = 0;
  for (const version of versions.toSorted((one, other) => Number(other === first) - Number(one === first))) {
    bytes += version.length + 3;
    if (bytes > bytesMax && named.length > 0) break;
    named.push(version);
  }
  return named;
}

/** Why a tombstone does not account for the segment of this manifest; undefined when it does. */
export function tombstoneMisfit(
  tombstone: Tombstone,
  manifest: Manifest,
  manifestNote: Uint8Array,
): string | undefined {
  const same = (left: readonly string[], right: readonly string[]): boolean =>
    left.length === right.length && left.every((text, at) => text === right[at]);
  if (tombstone.origin !== manifest.origin) return `it is of ${tombstone.origin}`;
  if (tombstone.first !== manifest.first || tombstone.end !== manifest.end) return 'its range is another';
  if (tombstone.manifest_sha256 !== sha256Hex(manifestNote)) return 'it names another manifest';
  if (!same(tombstone.nodes, manifest.nodes) || tombstone.root !== manifest.root)
    return 'its nodes are others';
  if (!same(objectKeys(tombstone), objectKeys(manifest))) return 'its objects are others';
  if (tombstone.policy.until < manifest.retention.until)
    return 'it ends the retention earlier than was promised';
  if (tombstone.decided_at < tombstone.policy.until) return 'it was decided before the retention ended';
  return undefined;
}

const objectKeys = ({ objects }: { readonly objects: readonly { readonly key: string }[] }): string[] =>
  objects.map(({ key }) => key);

export const signTombstone = (tombstone: Tombstone, signer: NoteSigner): Uint8Array<ArrayBuffer> =>
  signStatement(tombstone, signer);

/** @throws Failure `statement.invalid`, or of a `NoteReason`. */
export const openTombstone = (note: Uint8Array, keys: readonly NoteKey[]): Tombstone =>
  openStatement(note, keys, tombstoneForm);

export const signDeletion = (deletion: Deletion, signer: NoteSigner): Uint8Array<ArrayBuffer> =>
  signStatement(deletion, signer);

/** @throws Failure `statement.invalid`, or of a `NoteReason`. */
export const openDeletion = (note: Uint8Array, keys: readonly NoteKey[]): Deletion =>
  openStatement(note, keys, deletionForm);
