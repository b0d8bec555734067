import { type AuditEvent, completeEvent, encodeDatum, leafHash } from '@cairn/event';
import { genesisHash } from '@cairn/ledger';

export const ORG = 'acme';
export const GATEWAY = 'gw-1';

/** Datums of one stream, chained as a recorder chains them. */
export function streamOf(
  count: number,
  { org = ORG, gateway = GATEWAY, epoch = 1, from = 0, timestamp = 1_795_000_000_000_000 } = {},
): Uint8Array[] {
  let prev_hash = genesisHash(org, gateway, epoch, new Uint8Array(32));
  const datums: Uint8Array[] = [];
  for (let seq = 0; seq < from + count; seq += 1) {
    const draft = completeEvent(
      {
        org_id: org,
        gateway_id: gateway,
        kind: 'tool_call',
        phase: 'single',
        capture: 'gateway',
        timestamp: timestamp + seq,
        tool_name: `tool-${seq}`,
      },
      { event_id: new Uint8Array(16).fill(seq + 1) },
    );
    const event: AuditEvent = { ...draft, epoch, seq, prev_hash, key_id: '00000000', signature: null };
    const datum = encodeDatum(event);
    prev_hash = leafHash(1, datum);
    if (seq >= from) datums.push(datum);
  }
  return datums;
}
