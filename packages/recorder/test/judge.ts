import { type AuditEvent, decodeDatum, hexOf, leafHash, unframe, walkDatum } from '@cairn/event';
import { genesisHash, parseVkey, placeInStream, type StreamPosition, verifyStream } from '@cairn/ledger';

export interface Acknowledged {
  readonly orgId: string;
  readonly epoch: number;
  readonly seq: number;
  readonly hash: string;
}

export interface Judged {
  /** What is wrong; empty when the trail is whole. */
  readonly findings: string[];
  readonly events: AuditEvent[];
}

/**
 * Reads a log as an auditor would: everything acknowledged is there; no number was used twice; each partition has every
 * stream in order, where only resends are doubled; every stream verifies; each names the one before it.
 *
 * @param vkeys lines of all keys that were ever used
 * @param losses true when the test damaged the spool: then holes are no finding, all else still is
 */
export function judge(
  partitions: ReadonlyMap<string, readonly Uint8Array[]>,
  acknowledged: readonly Acknowledged[],
  vkeys: readonly string[],
  losses = false,
): Judged {
  const findings: string[] = [];
  const keys = new Map(vkeys.map((line) => parseVkey(line)).map((key) => [key.keyId, key.publicKey]));
  const hashes = new Map<string, string>();
  const streams = new Map<
    string,
    { event: AuditEvent; schemaId: number; datum: Uint8Array; hash: string }[]
  >();
  for (const [name, values] of partitions) {
    const positions = new Map<string, StreamPosition>();
    for (const value of values) {
      const framed = unframe(value);
      if (!framed.ok) throw new Error(framed.reason);
      const { schemaId, datum } = framed;
      const walked = walkDatum(datum, schemaId);
      if (!walked.ok) throw new Error(walked.reason);
      const hash = hexOf(leafHash(schemaId, datum));
      const { epoch, seq, orgId } = walked;
      const id = `${orgId}/${epoch}/${seq}`;
      if ((hashes.get(id) ?? hash) !== hash) findings.push(`two events are numbered ${id}`);
      const prevHash = hexOf(datum.subarray(walked.prevHashAt, walked.prevHashAt + 32));
      const placed = placeInStream(positions.get(orgId), { epoch, seq, hash, prevHash });
      positions.set(orgId, placed.position);
      const fine = ['next', 'duplicate', 'new-epoch', ...(losses ? ['gap'] : [])].includes(placed.verdict);
      if (!fine || (placed.missing !== undefined && !losses))
        findings.push(`${placed.verdict} at ${id} in ${name}`);
      if (hashes.has(id)) continue;
      hashes.set(id, hash);
      const stream = `${orgId}/${epoch}`;
      const event = decodeDatum(datum, schemaId);
      streams.set(stream, [...(streams.get(stream) ?? []), { event, schemaId, datum, hash }]);
    }
  }
  for (const { orgId, epoch, seq, hash } of acknowledged) {
    if (hashes.get(`${orgId}/${epoch}/${seq}`) !== hash)
      findings.push(`acknowledged and not there: ${orgId}/${epoch}/${seq}`);
  }
  const last = new Map<string, { epoch: number; seq: number; hash: string }>();
  for (const [name, items] of [...streams].sort(([, a], [, b]) => a[0]!.event.epoch - b[0]!.event.epoch)) {
    const { event } = items[0]!;
    const before = last.get(event.org_id);
    const detail = event.kind === 'stream_open' ? JSON.parse(event.detail) : {};
    const zeros = '0'.repeat(64);
    const named = detail.prev_unknown ? zeros : (detail.prev_hash ?? zeros);
    if (!losses) {
      if (detail.prev_unknown) findings.push(`${name} does not know the stream before it`);
      const link = before === undefined ? undefined : `${before.epoch}/${before.seq}/${before.hash}`;
      const told =
        detail.prev_hash === undefined
          ? undefined
          : `${detail.prev_epoch}/${detail.prev_seq}/${detail.prev_hash}`;
      if (link !== told) findings.push(`${name} names ${told} and not ${link}`);
    }
    const genesis = hexOf(
      genesisHash(event.org_id, event.gateway_id, event.epoch, Buffer.from(named, 'hex')),
    );
    for (const finding of verifyStream(items, keys, genesis).findings) {
      if (
        finding.kind === 'unsealed-tail' ||
        (losses && ['gap', 'not-opened', 'broken-link'].includes(finding.kind))
      )
        continue;
      findings.push(`${name}: ${finding.kind} at ${finding.seq}: ${finding.detail}`);
    }
    const { epoch, seq } = items.at(-1)!.event;
    last.set(event.org_id, { epoch, seq, hash: items.at(-1)!.hash });
  }
  return { findings, events: [...streams.values()].flat().map(({ event }) => event) };
}
