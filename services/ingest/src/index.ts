export { type IngestConfig, readIngestConfig } from './config.ts';
export { avroEncoder, type Encoder } from './encoder.ts';
export { createIngest, type Ingest, type IngestParts } from './ingest.ts';
export { type LedgerState, verifyLedger } from './verify-ledger.ts';
