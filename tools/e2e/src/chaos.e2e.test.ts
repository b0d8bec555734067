import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from '@jest/globals';
import { runChaos } from './chaos.ts';
import { NO_FAULTS } from './oracle.ts';

const KILLS = 100;
/** Stands in the test's name, so that a failing run says which choices it made. */
const SEED = Number(process.env['CHAOS_SEED'] ?? Math.floor(Math.random() * 1e9));

const directory = mkdtempSync(join(tmpdir(), 'cairn-chaos-'));
afterAll(() => rmSync(directory, { recursive: true, force: true, maxRetries: 5 }));

test(`${KILLS} random kills of ingest, gateway, ClickHouse and broker, with stops and lost and late answers, lose and double nothing, and rollups are the sum of the rows (seed ${SEED})`, async () => {
  const { faults, ...ran } = await runChaos({ seed: SEED, kills: KILLS, directory });
  process.stdout.write(`chaos: ${JSON.stringify(ran)}\n`);
  expect(faults).toEqual(NO_FAULTS);
  expect(ran.acknowledged).toBeGreaterThan(KILLS * 20);
}, 420_000);
