import { hash } from 'node:crypto';

const encoder = new TextEncoder();

/**
 * What the first event of a stream links to:
 * `SHA-256("audit-genesis/v1\n" ‖ org ‖ "\n" ‖ gateway ‖ "\n" ‖ u64 BE(epoch) ‖ P)`.
 *
 * @param previousHead P, the leaf hash of the last event of the stream before, or 32 zero bytes when there is none or it is
 *   not known.
 */
export function genesisHash(
  orgId: string,
  gatewayId: string,
  epoch: number,
  previousHead: Uint8Array,
): Uint8Array<ArrayBuffer> {
  const text = encoder.encode(`audit-genesis/v1\n${orgId}\n${gatewayId}\n`);
  const bytes = new Uint8Array(text.length + 40);
  bytes.set(text);
  let rest = epoch;
  for (let at = text.length + 7; at >= text.length; at -= 1) {
    bytes[at] = rest % 256;
    rest = Math.floor(rest / 256);
  }
  bytes.set(previousHead, text.length + 8);
  return hash('sha256', bytes, 'buffer');
}
