// Whether what was changed is found: every byte of an evidence bundle in turn, and 10,000 events removed, repeated, swapped,
// inserted.
import { availableParallelism } from 'node:os';
import { flipEveryByte } from '../../../../packages/cli/src/testing/flip-bytes.ts';
import { SHOWN_BY, TAMPERINGS, TamperedLogs } from '../../../../packages/ledger/test/tamper-events.ts';
import type { Claim, Measured, Row, SubjectOptions } from '../measured.ts';

/**
 * `--kib N` bytes of the bundle, default 256; `--every N` of its bytes one, default 1; `--whole N` of the changes one is verified
 * to the end and not only until the bundle is broken, default 1; `--trials N` events, default 10,000.
 */
export default async function tampering({ quick, flags, say }: SubjectOptions): Promise<Measured> {
  const kib = Number(flags['kib'] ?? 256);
  const every = Number(flags['every'] ?? (quick ? 4_096 : 1));
  const whole = Number(flags['whole'] ?? 1);
  const trials = Number(flags['trials'] ?? (quick ? 100 : 10_000));
  const rows: Row[] = [];
  const claims: Claim[] = [];

  const logs = new TamperedLogs();
  const counts = new Map(TAMPERINGS.map((name) => [name, { done: 0, found: 0 }]));
  for (let number = 0; number < trials; number += 1) {
    const { tampering: name, verdict, reasons } = logs.trial(number);
    const count = counts.get(name)!;
    count.done += 1;
    if (verdict === 'broken' && reasons.includes(SHOWN_BY[name])) count.found += 1;
    if (number % 500 === 499) say(`${number + 1} of ${trials} events`);
  }
  for (const [name, { done, found }] of counts) {
    rows.push({ name: `one event ${name}`, figures: { done: [done], found: [found] } });
    claims.push({
      what: `events ${name} and not shown by "${SHOWN_BY[name]}"`,
      measured: done - found,
      wanted: 'at most',
      limit: 0,
    });
  }

  let saidAt = 0;
  const beganMs = performance.now();
  const flipped = await flipEveryByte({
    bytes: kib * 1024,
    every,
    whole,
    threads: availableParallelism(),
    onProgress(done, of) {
      if (done - saidAt < 2_000) return;
      saidAt = done;
      say(`${done} of ${of} bytes`);
    },
  });
  const { bytes, flips, wholes, undetected, disagreed, unverifiable, unexplained, unnamed } = flipped;
  const minutes = (performance.now() - beganMs) / 60_000;
  rows.push({
    name: `a byte of a bundle of ${bytes} bytes`,
    figures: { done: [flips], found: [flips - undetected.length] },
  });
  claims.push(
    {
      what: 'changed bytes of the bundle that left it intact',
      measured: undetected.length,
      wanted: 'at most',
      limit: 0,
    },
    {
      what: 'changed bytes of which no leaf and no object was named',
      measured: unnamed.length,
      wanted: 'at most',
      limit: 0,
    },
    {
      what: 'changed bytes outside the name of the signing key that left it not verifiable here',
      measured: unexplained.length,
      wanted: 'at most',
      limit: 0,
    },
    {
      what: 'changed bytes on which verification to the end came to another verdict',
      measured: disagreed.length,
      wanted: 'at most',
      limit: 0,
    },
  );
  return {
    question: 'Is every change found?',
    columns: [
      { name: 'done', heading: 'changes', digits: 0 },
      { name: 'found', heading: 'found', digits: 0 },
    ],
    rows,
    claims,
    notes: [
      `${unverifiable.length} of the changed bytes left the bundle not verifiable here: they stand where its signature names its key, which is then one that nobody knows.`,
      `Each change was verified until the bundle was broken, and ${wholes} of ${flips} to the end as well: ${minutes.toFixed(0)} minutes on ${availableParallelism()} threads.`,
      `Of the bundle every ${every === 1 ? '' : `${every}th `}byte in turn, each by another bit. Events: by one who holds every key of the archive and none of a gateway, so that the log is signed anew.`,
      ...[...undetected.slice(0, 20)].map((at) => `byte ${at} was not found`),
    ],
  };
}
