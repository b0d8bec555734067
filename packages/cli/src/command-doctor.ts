import { EXIT } from './exit-codes.ts';
import type { Finding } from './finding.ts';
import type { Output } from './output.ts';

const MARKS = {
  ok: ['green', 'ok     '],
  failed: ['red', 'failed '],
  skipped: ['dim', 'skipped'],
} as const;

/** `cairn doctor`: what works, what does not, and what to do about it. */
export async function doctor(output: Output, findings: AsyncIterable<Finding>): Promise<number> {
  let failed = 0;
  for await (const finding of findings) {
    const { check, state, says, mend } = finding;
    const [style, mark] = MARKS[state];
    output.value(finding);
    output.line(`${output.paint(style, mark)}  ${check.padEnd(12)}  ${says}`);
    if (mend !== undefined) output.line(`${' '.repeat(23)}${mend}`);
    if (state === 'failed') failed += 1;
  }
  if (failed === 0) return EXIT.ok;
  output.note(failed === 1 ? 'One check failed.' : `${failed} checks failed.`);
  return EXIT.failed;
}
