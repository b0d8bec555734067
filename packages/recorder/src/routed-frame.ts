/*
 * Body of a spool record:
 *
 *   body := org(len u8, bytes) | topic(len u8, bytes) | partition u32be | frame
 *
 * The route is kept with the frame, so that a changed configuration does not move events that are already numbered.
 */

/** A framed event and where it goes. */
export interface RoutedFrame {
  readonly orgId: string;
  readonly topic: string;
  readonly partition: number;
  readonly frame: Uint8Array;
}

export function encodeRouted(routed: RoutedFrame): Uint8Array {
  const org = Buffer.from(routed.orgId, 'utf8');
  const topic = Buffer.from(routed.topic, 'utf8');
  if (org.length > 255 || topic.length > 255)
    throw new RangeError('An organisation or topic is longer than 255 bytes.');
  const out = Buffer.alloc(2 + org.length + topic.length + 4 + routed.frame.length);
  let at = out.writeUInt8(org.length, 0);
  at += org.copy(out, at);
  at = out.writeUInt8(topic.length, at);
  at += topic.copy(out, at);
  at = out.writeUInt32BE(routed.partition, at);
  out.set(routed.frame, at);
  return out;
}

/** A body whose frame begins as that of `head` and ends in this datum: the route of a stream is the same for long. */
export function withDatum(head: Uint8Array, datum: Uint8Array): Uint8Array {
  // From Node's pool: memory of its own for each body would cost more than all that is written into it.
  const body = Buffer.allocUnsafe(head.length + datum.length);
  body.set(head);
  body.set(datum, head.length);
  return body;
}

export function decodeRouted(body: Uint8Array): RoutedFrame {
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  const orgEnd = 1 + bytes.readUInt8(0);
  const topicEnd = orgEnd + 1 + bytes.readUInt8(orgEnd);
  return {
    orgId: bytes.toString('utf8', 1, orgEnd),
    topic: bytes.toString('utf8', orgEnd + 1, topicEnd),
    partition: bytes.readUInt32BE(topicEnd),
    frame: body.subarray(topicEnd + 4),
  };
}
