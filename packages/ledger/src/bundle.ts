/** What an evidence bundle is, and every other member of its file: a note by an archive key (schemas/ledger.md, "Evidence bundle"). */
import { z } from 'zod';
import { checkpointName, manifestName, segmentName } from './object-names.ts';
import type { NoteSigner } from './signed-note.ts';
import { countForm, sha256Form, signStatement, statementText, textForm } from './statement.ts';

export const BUNDLE_NOTE = 'bundle.note';
export const BUNDLE_INSTRUCTIONS = 'VERIFY.md';

export const bundleForm = z.strictObject({
  /** Milliseconds. */
  created_at: countForm,
  /** Milliseconds of `received_at`; inclusive. */
  from: countForm,
  kind: z.literal('cairn/bundle'),
  members: z.array(z.strictObject({ name: textForm, sha256: sha256Form, size: countForm })).max(1_000_000),
  org: z.string(),
  /** What was asked for, for a person. */
  query: textForm,
  /** Milliseconds; exclusive. */
  to: countForm,
  v: z.literal(1),
});
export type Bundle = z.infer<typeof bundleForm>;
export type BundleMember = Bundle['members'][number];

export const signBundle = (bundle: Bundle, signer: NoteSigner): Uint8Array<ArrayBuffer> =>
  signStatement(bundle, signer);

/** What stands around a segment's leaves in the tree of `size`. */
export const bundleTreeForm = z.strictObject({
  /** Nodes of [end, size). */
  after: z.array(sha256Form).max(128),
  /** Nodes of [0, first). */
  before: z.array(sha256Form).max(128),
  end: countForm,
  first: countForm,
  size: countForm,
});
export type BundleTree = z.infer<typeof bundleTreeForm>;

export const bundleTreeText = (tree: BundleTree): string => statementText(tree);

/** `leaves/<topic>/<partition>/<first>.bin` */
export const bundleLeavesName = (origin: string, first: number): string =>
  manifestName(origin, first).replace(/^manifest\/(.*)\.note$/, 'leaves/$1.bin');

/** `events/<topic>/<partition>/<first>-<schema>.avro` */
export const bundleEventsName = (origin: string, first: number, schemaId: number): string =>
  segmentName(origin, first, schemaId).replace(/^segment\//, 'events/');

/** `tree/<topic>/<partition>/<first>.json` */
export const bundleTreeName = (origin: string, first: number): string =>
  manifestName(origin, first).replace(/^manifest\/(.*)\.note$/, 'tree/$1.json');

/** `anchor/proof/<topic>/<partition>/<size>.tlog-proof`: that the checkpoint is in the anchor log. */
export const bundleAnchorProofName = (origin: string, size: number): string =>
  checkpointName(origin, size).replace(/^checkpoint\/(.*)\.note$/, 'anchor/proof/$1.tlog-proof');

const FOLDER = '([a-z0-9][a-z0-9.-]{0,62}/(?:0|[1-9][0-9]{0,9}))';
const NUMBER = '([0-9]{20})';

export type BundleName =
  | { readonly kind: 'leaves' | 'tree'; readonly folder: string; readonly first: number }
  | { readonly kind: 'events'; readonly folder: string; readonly first: number; readonly schemaId: number }
  | { readonly kind: 'anchor-proof'; readonly folder: string; readonly size: number };

const LEAVES = new RegExp(`^leaves/${FOLDER}/${NUMBER}\\.bin$`);
const TREE = new RegExp(`^tree/${FOLDER}/${NUMBER}\\.json$`);
const EVENTS = new RegExp(`^events/${FOLDER}/${NUMBER}-([1-9][0-9]{0,9})\\.avro$`);
const PROOF = new RegExp(`^anchor/proof/${FOLDER}/${NUMBER}\\.tlog-proof$`);

/** What a member of a bundle's own is; undefined for those that are as in the bucket, and for others. */
export function parseBundleName(name: string): BundleName | undefined {
  const leaves = LEAVES.exec(name);
  if (leaves !== null) return { kind: 'leaves', folder: leaves[1]!, first: Number(leaves[2]) };
  const tree = TREE.exec(name);
  if (tree !== null) return { kind: 'tree', folder: tree[1]!, first: Number(tree[2]) };
  const events = EVENTS.exec(name);
  if (events !== null)
    return { kind: 'events', folder: events[1]!, first: Number(events[2]), schemaId: Number(events[3]) };
  const proof = PROOF.exec(name);
  return proof === null ? undefined : { kind: 'anchor-proof', folder: proof[1]!, size: Number(proof[2]) };
}

/** The instructions that a bundle carries. @param rootVkey for comparison only: whoever verifies brings their own. */
export function bundleInstructions({
  org,
  rootVkey,
}: {
  readonly org: string;
  readonly rootVkey: string;
}): string {
  return `# How to verify this bundle

It holds the events of one organisation (${JSON.stringify(org)}) over a range of time, and what proves them. It needs no network.

1. Take the root's verifier key from where you were handed it, not from here. The bundle was made under
   \`${rootVkey}\`; when yours is another, stop.
2. \`cairn verify <this file> --root <verifier key>\`, with \`--time-ca <certificates.pem>\` to judge the timestamps. The exit
   code is 0 for intact, 1 for broken, 2 for what cannot be told from here.

By hand, with tar, sha256sum, openssl and a few lines of any language:

- \`bundle.note\` is a C2SP signed note (c2sp.org/signed-note) by an archive key. It has SHA-256 and size of every other
  member; the members stand in its order.
- \`key/\` is the history of all keys: notes signed by the root key, each of which names the SHA-256 of the one before.
- \`leaves/\` are the leaf hashes of whole segments, 32 bytes each: SHA-256(00 ‖ C3 01 ‖ CRC-64-AVRO ‖ datum) (RFC 6962).
  \`events/\` are Avro object containers; the field \`leaf\` says which leaf an event is.
- \`tree/\` holds the nodes before and behind them; together they give the root of \`checkpoint/\` (RFC 6962).
- \`anchor/proof/\` are C2SP tlog-proofs that the checkpoint is in the anchor log, whose checkpoint is in
  \`anchor/checkpoint/\`. \`openssl ts -verify -data <checkpoint> -in <timestamp> -CAfile <certificates>\` says when it existed.
- Events of one gateway and epoch are numbered by \`seq\` without a gap, and \`prev_hash\` is the leaf hash of the one before.

What it does not show: events of a gateway that never recorded them, and gateways of which nothing is here.
`;
}
