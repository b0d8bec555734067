// Writes the tables of docs/scaling.md from figures.ts: node tools/bench/src/scaling/write.ts
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { REPOSITORY } from '@cairn/local';
import { withTables } from './tables.ts';

const page = join(REPOSITORY, 'docs', 'scaling.md');
writeFileSync(page, withTables(readFileSync(page, 'utf8')));
