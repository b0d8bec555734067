export { type ImporterConfig, readImporterConfig } from './config.ts';
export { createImporter, type Importer } from './importer.ts';
