export {
  Acceptance,
  type AcceptancePartition,
  type Accepted,
  type PartitionRecord,
  type StreamPositions,
  streamKey,
} from './accept-record.ts';
export { base64Of, bytesOfBase64 } from './base64.ts';
export {
  BUNDLE_INSTRUCTIONS,
  BUNDLE_NOTE,
  type Bundle,
  type BundleMember,
  bundleAnchorProofName,
  bundleEventsName,
  bundleForm,
  bundleInstructions,
  bundleLeavesName,
  bundleTreeName,
  bundleTreeText,
  signBundle,
} from './bundle.ts';
export { ByStream } from './by-stream.ts';
export {
  type Checkpoint,
  checkpointText,
  openCheckpoint,
  parseCheckpoint,
  signCheckpoint,
} from './checkpoint.ts';
export { CompactRange, EMPTY_ROOT, foldNodes, nodeHash, type Subtree, subtreesOf } from './compact-range.ts';
export { genesisHash } from './genesis.ts';
export { greatestOf } from './greatest.ts';
export {
  bytesOfHash,
  type HashText,
  hashAt,
  hashBytes,
  hashOfHex,
  hexOfHash,
  isHashAt,
  putHash,
  sha256Hex,
  sha256Text,
  ZERO_HASH,
} from './hash-text.ts';
export {
  HoldHistory,
  type HoldRelease,
  type HoldStatement,
  type HoldWords,
  isHoldRefusal,
  parseHold,
  RELEASES_NEEDED,
  type SignedHold,
  signHold,
} from './hold-history.ts';
export {
  gatewaySubject,
  KeyHistory,
  type KeyRange,
  type KeyRole,
  type KeyStatement,
  keyStatementForm,
  signKeyStatement,
} from './key-history.ts';
export type { Leaf } from './leaf.ts';
export type { Population } from './log-streams.ts';
export {
  type Manifest,
  type ManifestFacts,
  type ManifestObject,
  manifestForm,
  manifestOf,
  openManifest,
  type StreamRange,
  signManifest,
} from './manifest.ts';
export { type NoteKey, noteKeyOf, parseVkey, publicKeyOf, type SignatureType } from './note-key.ts';
export {
  anchorCheckpointName,
  anchorEntriesName,
  checkpointName,
  cosignedName,
  deletionName,
  holdName,
  keyName,
  manifestName,
  type ObjectName,
  parseObjectName,
  segmentName,
  timestampName,
  tombstoneName,
} from './object-names.ts';
export {
  anchorOrigin,
  archiveKeyName,
  gatewayKeyName,
  isPersonName,
  type LogName,
  originOf,
  parseOrigin,
  personKeyName,
  rootKeyName,
} from './origin.ts';
export {
  type Erasure,
  openErasure,
  openUnsealing,
  parseErasure,
  signErasure,
  signUnsealing,
  type Unsealing,
} from './person-act.ts';
export { LeafRange, PIECE_LEAVES, pieceAt } from './pieces.ts';
export {
  EPOCHS_REMEMBERED,
  EPOCHS_WITH_HASHES,
  type EpochPosition,
  type Placement,
  placeInStream,
  remembered,
  type StreamItem,
  type StreamPosition,
  type Verdict,
} from './place-in-stream.ts';
export { KnownTree, rootOf, verifyConsistency, verifyInclusion } from './proofs.ts';
export { ProvenEventsWriter, type ProvenLeaf, readProvenEvents } from './proven-events.ts';
export { rangeIn, readSegment, type SegmentObject } from './read-segment.ts';
export {
  type FindingClass,
  type LedgerFinding,
  type LedgerVerdict,
  REASONS,
  type Reason,
  type StreamName,
  verdictOf,
} from './reasons.ts';
export { HASHES_REMEMBERED, RecentHashes } from './recent-hashes.ts';
export { notesOfRound, ROUND_BYTES_MAX, ROUND_ENTRIES_MAX, roundFrom } from './round.ts';
export { SegmentFacts, type SegmentSummary } from './segment-facts.ts';
export { ROW_FIELDS, SEGMENT_BYTES_MAX, SEGMENT_LEAVES, type SegmentRange } from './segment-form.ts';
export { signDatum, verifyDatum } from './signature.ts';
export {
  cosignatureLine,
  cosignedAt,
  NOTE_BYTES_MAX,
  type NoteLine,
  type NoteReason,
  type NoteSigner,
  noteSignerOf,
  type OpenedNote,
  openNote,
  signNote,
  splitNote,
  withLines,
} from './signed-note.ts';
export { openStatement, parseStatement, signStatement, statementText } from './statement.ts';
export { bundleOf, type TileFile, TileWriter, tilePath } from './tiles.ts';
export { formatTlogProof, parseTlogProof, type TlogProof, verifyTlogProof } from './tlog-proof.ts';
export {
  type Deletion,
  type DeletionDecision,
  deletionForm,
  openDeletion,
  openTombstone,
  signDeletion,
  signTombstone,
  type Tombstone,
  tombstoneForm,
  tombstoneMisfit,
  tombstoneOf,
} from './tombstone.ts';
export {
  readUstarHeader,
  USTAR_BLOCK_BYTES,
  USTAR_END_BYTES,
  type UstarMember,
  ustarHeader,
  ustarPadding,
} from './ustar.ts';
export {
  type AnchorsVerdict,
  type BundleVerdict,
  type CosignatureVerdict,
  type EvidenceVerdict,
  evidenceVerdictOf,
  type FirstBad,
  findingOf,
  type KeysVerdict,
  type LogVerdict,
  logVerdictOf,
  type PartVerdict,
  type StreamVerdictJson,
  type TimestampVerdict,
  type VerdictFinding,
  worstOf,
} from './verdict.ts';
export {
  type AnchoredCheckpoint,
  type AnchorsReport,
  AnchorsVerifier,
  noteLeafHash,
} from './verify-anchors.ts';
export { type BundledTimestamp, type BundleVerification, BundleVerifier } from './verify-bundle.ts';
export {
  type FetchedSegment,
  type LogReport,
  type LogVerification,
  LogVerifier,
} from './verify-log.ts';
export {
  type Finding,
  type FindingKind,
  type StreamDatum,
  type StreamVerdict,
  verifyStream,
} from './verify-stream.ts';
export type { StreamReport } from './watch-stream.ts';
export { SegmentWriter, type WrittenObject, type WrittenSegment } from './write-segment.ts';
