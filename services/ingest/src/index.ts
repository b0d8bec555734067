export { type IngestConfig, readIngestConfig } from './config.ts';
export { avroColumns, avroEncoder, type Encoder, nativeEncoder } from './encoder.ts';
export type { Body, EventTable, Owner } from './event-table.ts';
export { createIngest, type Ingest, type IngestParts } from './ingest.ts';
export { tableIn } from './table-in-clickhouse.ts';
export { type LedgerState, verifyLedger } from './verify-ledger.ts';
