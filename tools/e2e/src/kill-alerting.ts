// node tools/e2e/src/kill-alerting.ts [--kills 100] [--seed 1]
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { openKafka } from '@cairn/adapters';
import { startTestParts } from '@cairn/local';
import { killAlerting } from './alerting-kills.ts';

const { values } = parseArgs({
  options: { kills: { type: 'string', default: '100' }, seed: { type: 'string', default: '1' } },
});
const directory = mkdtempSync(join(tmpdir(), 'cairn-kills-'));
let isRight = false;
try {
  await using parts = await startTestParts({ directory, parts: ['kafka', 'redis'] });
  await using kafka = openKafka({ brokers: [parts.part('kafka').address], clientId: 'kills' });
  const verdict = await killAlerting({
    parts,
    kafka,
    directory: join(directory, 'run'),
    seed: Number(values.seed),
    kills: Number(values.kills),
    say: (text) => process.stderr.write(`${text}\n`),
  });
  process.stdout.write(`${JSON.stringify(verdict, null, 2)}\n`);
  isRight = [verdict.missing, verdict.surplus, verdict.doubled].every(({ length }) => length === 0);
} finally {
  rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
}
process.exit(isRight ? 0 : 1);
