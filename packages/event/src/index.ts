export { bytesOfHex, formatUuid, hexOf, parseUuid, textOf, utf8 } from './bytes.ts';
export { crc64Of, parsingCanonicalForm } from './canonical-form.ts';
export { datumAt, decodeDatum, encodeDatum } from './codec.ts';
export { type ContainerRow, containerOf, ingestedSchema, PREFIX_FIELDS } from './container.ts';
export { completeEvent, type EncodedDraft, encodeDraft } from './draft.ts';
export type { CompleteEvent, EventDraft, IntegrityField } from './encode.gen.ts';
export {
  bodyOf,
  DATUM_BYTES_MAX,
  ENTRY_BYTES_MAX,
  entryOf,
  entryUnder,
  leafHash,
  leafHashText,
  leafHashUnder,
  SIGNED_TAIL_BYTES,
  signedBytes,
  signedBytesUnder,
} from './entry.ts';
export * from './event.gen.ts';
export {
  FRAME_HEAD_BYTES,
  type FrameReason,
  frame,
  framedIdAt,
  type Unframed,
  unframe,
} from './frame.ts';
export { type FieldReader, fieldReader } from './read-fields.ts';
export { releasedSchema, schemaById } from './schemas.ts';
export { sha256Text } from './sha256-text.ts';
export { EVENTS_TOPIC_PREFIX, PARKED_TOPIC, partitionOf, topicOf } from './topics.ts';
export { uuidV7, uuidV8 } from './uuid.ts';
export { FIELDS_MAX, type Refused, type Walked, type WalkReason, walkDatum, walkNextDatum } from './walk.ts';
export { ITEMS_MAX, STRING_BYTES_MAX } from './walk-steps.ts';
