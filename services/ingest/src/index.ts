export { type IngestConfig, readIngestConfig } from './config.ts';
export { avroColumns, avroEncoder, type Body, type Encoder, nativeEncoder } from './encoder.ts';
export { createIngest, type Ingest, type IngestParts } from './ingest.ts';
export { type LedgerState, verifyLedger } from './verify-ledger.ts';
