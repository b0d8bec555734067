export { type Archival, type ArchivalParts, createArchival } from './archival.ts';
export { type ArchivalConfig, readArchivalConfig } from './config.ts';
