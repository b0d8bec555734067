import fc from 'fast-check';
import {
  ACTION_SYMBOLS,
  type AuditEvent,
  CAPTURE_SYMBOLS,
  completeEvent,
  DECISION_SYMBOLS,
  ENFORCEMENT_SYMBOLS,
  KIND_SYMBOLS,
  PHASE_SYMBOLS,
  RESULT_STATUS_SYMBOLS,
} from '../src/index.ts';

const bytes = (size: number) => fc.uint8Array({ minLength: size, maxLength: size });
const nullable = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: null });

/** Texts of every alphabet and, now and then, longer than a length of one or two bytes can say. */
const text = fc
  .oneof(
    { weight: 12, arbitrary: fc.string({ unit: 'grapheme', maxLength: 40 }) },
    { weight: 12, arbitrary: fc.string({ unit: 'binary-ascii', maxLength: 40 }) },
    { weight: 2, arbitrary: fc.nat(60).map((repeats) => 'é漢𝄞'.repeat(repeats)) },
    { weight: 1, arbitrary: fc.nat(900).map((repeats) => 'aé漢𝄞 plain '.repeat(repeats).slice(0, 9_000)) },
  )
  .map((value) => value.toWellFormed());

/** Whole numbers of either sign, of every length on the wire, up to the largest that a double holds zigzagged. */
const LONG = fc
  .tuple(fc.nat(52), fc.nat(2 ** 31 - 1), fc.nat(2 ** 21 - 1), fc.boolean())
  .map(([bits, high, low, below]) => {
    const size = (high * 2 ** 21 + low) % 2 ** bits;
    return below ? 0 - size : size;
  });

/** Events of every shape: empty and long texts, absent and present values, lists of several. */
export const events: fc.Arbitrary<AuditEvent> = fc
  .record({
    event_id: bytes(16),
    org_id: fc.stringMatching(/^[a-z][a-z0-9-]{0,20}$/),
    gateway_id: fc.stringMatching(/^[a-z][a-z0-9-]{0,20}$/),
    kind: fc.constantFrom(...KIND_SYMBOLS),
    phase: fc.constantFrom(...PHASE_SYMBOLS),
    capture: fc.constantFrom(...CAPTURE_SYMBOLS),
    action: fc.constantFrom(...ACTION_SYMBOLS),
    result_status: fc.constantFrom(...RESULT_STATUS_SYMBOLS),
    decision: fc.constantFrom(...DECISION_SYMBOLS),
    enforcement: fc.constantFrom(...ENFORCEMENT_SYMBOLS),
    timestamp: fc.integer({ min: 0, max: 4_000_000_000_000_000 }),
    call_id: nullable(bytes(16)),
    span_id: nullable(bytes(8)),
    step: nullable(fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 })),
    parameters_size: nullable(LONG),
    parameters_hash: nullable(bytes(32)),
    parameters_sealed: nullable(fc.uint8Array({ maxLength: 300 })),
    tool_name: text,
    error_message: text,
    data_classes: fc.array(text, { maxLength: 5 }),
    redactions: fc.array(fc.record({ rule: text, count: fc.nat() }), { maxLength: 4 }),
    delegation: fc.array(fc.record({ principal: text, scope: text }), { maxLength: 3 }),
    integrity: fc.record({
      epoch: LONG,
      seq: LONG,
      prev_hash: bytes(32),
      key_id: fc.stringMatching(/^[0-9a-f]{8}$/),
      signature: nullable(bytes(64)),
    }),
  })
  .map(({ integrity, event_id, ...draft }) => ({
    ...completeEvent(draft, { event_id }),
    ...integrity,
  }));
