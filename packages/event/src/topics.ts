import { hash } from 'node:crypto';
import { Failure } from '@cairn/failure';
import { concat, utf8 } from './bytes.ts';

/** Records that could not be loaded: their bytes, the reason and where they came from. */
export const PARKED_TOPIC = 'audit.parked';

/** Topics of events begin so; the class follows. */
export const EVENTS_TOPIC_PREFIX = 'audit.events.';

/**
 * The topic of a retention class. Each class has its own, so that whatever is cut from it has one retention.
 *
 * @throws Failure `class.invalid`
 */
export function topicOf(retentionClass: string): string {
  if (!/^[a-z0-9][a-z0-9-]{0,39}$/.test(retentionClass)) {
    throw new Failure({
      code: 'class.invalid',
      retry: 'no',
      message: `"${retentionClass}" is not the name of a retention class`,
      mend: 'Use 1 to 40 of a-z, 0-9 and -, beginning with a letter or digit.',
    });
  }
  return EVENTS_TOPIC_PREFIX + retentionClass;
}

/**
 * The partition of a gateway's events: `u32 BE of SHA-256(org ‖ 0x00 ‖ gateway)[0..4] mod partitions`. Fixed, so that one
 * partition holds a stream in order and a record in another one is known to be forged or misrouted.
 */
export function partitionOf(orgId: string, gatewayId: string, partitions: number): number {
  const digest = hash('sha256', concat(utf8(orgId), ZERO, utf8(gatewayId)), 'buffer');
  const first = ((digest[0]! << 24) | (digest[1]! << 16) | (digest[2]! << 8) | digest[3]!) >>> 0;
  return first % partitions;
}

const ZERO = new Uint8Array(1);
