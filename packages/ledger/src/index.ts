export { genesisHash } from './genesis.ts';
export { type NoteKey, noteKeyOf, parseVkey, publicKeyOf } from './note-key.ts';
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
export { HASHES_REMEMBERED, RecentHashes } from './recent-hashes.ts';
export { signDatum, verifyDatum } from './signature.ts';
export {
  type Finding,
  type FindingKind,
  type StreamDatum,
  type StreamVerdict,
  verifyStream,
} from './verify-stream.ts';
