import { runService } from '@cairn/runtime';
import { readImporterConfig } from './config.ts';
import { createImporter } from './importer.ts';

await runService('importer', (context) => createImporter(readImporterConfig(), context));
