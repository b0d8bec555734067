import { describe, expect, test } from '@jest/globals';
import { DEPLOYMENT, Gateway, Keys, ORIGIN } from '../test/deployment.ts';
import { anchorOrigin, bundleOf, greatestOf, KeyHistory, sha256Text, signCheckpoint } from './index.ts';
import { notesOfRound, ROUND_BYTES_MAX, ROUND_ENTRIES_MAX, roundFrom } from './round.ts';
import { AnchorsVerifier } from './verify-anchors.ts';

const short = new Uint8Array(1);
const long = new Uint8Array(65_535);

describe('a round of the anchor log', () => {
  test('takes as many notes, from the first on, as a reader accepts of it', () => {
    expect(roundFrom(Array(ROUND_ENTRIES_MAX + 1).fill(short))).toHaveLength(ROUND_ENTRIES_MAX);
    const round = roundFrom(Array(1_100).fill(long));
    expect(round).toHaveLength(Math.floor(ROUND_BYTES_MAX / (2 + long.length)));
    expect(notesOfRound(bundleOf(round))).toHaveLength(round.length);
    expect(roundFrom([short, long])).toEqual([short, long]);
  });

  test('is refused when it has no entry, more than a round holds, or ends within one', () => {
    const whole = bundleOf([short, long]);
    expect(notesOfRound(whole)).toEqual([short, long]);
    for (const bundle of [
      new Uint8Array(),
      bundleOf(Array(ROUND_ENTRIES_MAX + 1).fill(short)),
      bundleOf(Array(1_100).fill(long)),
      whole.subarray(0, -1),
      whole.subarray(0, 4),
    ])
      expect(() => notesOfRound(bundle)).toThrow(RangeError);
  });
});

describe('a verified anchor log', () => {
  const keys = new Keys(new Gateway('acme', 'gw-1'));
  const opened = (): AnchorsVerifier =>
    new AnchorsVerifier(KeyHistory.of(DEPLOYMENT, keys.notes, keys.root.key));

  test('keeps its first 1,000 findings, and is judged by all', () => {
    const root = sha256Text(new Uint8Array());
    const unknown = signCheckpoint({ origin: ORIGIN, size: 1, root }, keys.anchor);
    const verifier = opened();
    verifier.addEntries(0, bundleOf(Array(1_000).fill(unknown)));
    expect(verifier.end()).toMatchObject({ verdict: 'not verifiable here' });
    verifier.addEntries(1_000, bundleOf([Buffer.from('no note')]));
    const { findings, verdict } = verifier.end();
    expect(verdict).toBe('broken');
    expect(findings).toHaveLength(1_000);
    expect(findings.at(-1)).toMatchObject({ reason: 'unknown-key', leaf: 999 });
  });

  test('names the round that cannot be read and the one that leads elsewhere by its first entry', () => {
    const entry = signCheckpoint({ origin: ORIGIN, size: 1, root: sha256Text(short) }, keys.log);
    const round = bundleOf([entry, entry]);
    const torn = opened();
    torn.addEntries(0, round);
    torn.addEntries(2, round.subarray(0, -1));
    expect(torn.end().findings).toMatchObject([{ reason: 'segment-form', leaf: 2 }]);
    const led = opened();
    const elsewhere = { origin: anchorOrigin(DEPLOYMENT), size: 4, root: sha256Text(short) };
    led.addCheckpoint(4, signCheckpoint(elsewhere, keys.anchor));
    led.addEntries(0, round);
    led.addEntries(2, round);
    expect(led.end().findings).toMatchObject([{ reason: 'root-mismatch', leaf: 2 }]);
  });
});

test('the greatest of more sizes than a call has room for arguments is found', () => {
  expect(greatestOf(Array(1_000_000).keys())).toBe(999_999);
  expect(greatestOf([])).toBe(0);
});
