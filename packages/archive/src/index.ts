export { type ArchivedSegment, readArchive, tombstonesOf } from './archive-segments.ts';
export { type BuiltBundle, type BundleQuery, buildBundle } from './build-bundle.ts';
export {
  type ArchiveAddress,
  type Evidence,
  type EvidenceObject,
  evidenceIn,
  openEvidence,
  readFileWhole,
} from './evidence.ts';
export { type ArchiveState, type KeptArchive, keepArchive } from './keep-archive.ts';
export { readSigner } from './private-key.ts';
export {
  type AnchorEvidence,
  anchorOf,
  type FoundEvent,
  findEvent,
  findInSegment,
  originsOf,
  proofOfEvent,
} from './prove.ts';
export { differenceOf, type Placed, type PlacedEvent, placeFound } from './prove-found.ts';
export { NOTE_BYTES_MAX, SEGMENT_BYTES_MAX } from './read-ahead.ts';
export { type AnchorLog, AnchorLogReader } from './read-anchors.ts';
export {
  deploymentOf,
  type OnProgress,
  readKeys,
  readWholeKeys,
  type Trusted,
  timestampIn,
  verifyArchive,
} from './verify-archive.ts';
export { type PlacedSegment, readLeaves, walkLog } from './walk-log.ts';
