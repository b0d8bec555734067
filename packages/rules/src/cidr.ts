/** A test of whether a text is an address inside this network (RFC 4632, RFC 4291); undefined when it is no network. */
export function networkTest(network: string): ((text: string) => boolean) | undefined {
  const [base, length, more] = network.split('/');
  const address = addressOf(base ?? '');
  if (address === undefined || length === undefined || more !== undefined || !/^\d{1,3}$/.test(length))
    return undefined;
  const bits = Number(length);
  if (bits > address.bits) return undefined;
  const shift = BigInt(address.bits - bits);
  const wanted = address.value >> shift;
  // What is outside the network itself is a mistake, as pySigma has it.
  if (wanted << shift !== address.value) return undefined;
  return (text) => {
    const given = addressOf(text);
    return given !== undefined && given.bits === address.bits && given.value >> shift === wanted;
  };
}

interface Address {
  readonly value: bigint;
  readonly bits: 32 | 128;
}

function addressOf(text: string): Address | undefined {
  if (text.length > 45) return undefined;
  if (!text.includes(':')) {
    const value = ipv4Of(text);
    return value === undefined ? undefined : { value, bits: 32 };
  }
  const value = ipv6Of(text);
  return value === undefined ? undefined : { value, bits: 128 };
}

function ipv4Of(text: string): bigint | undefined {
  const parts = text.split('.');
  if (parts.length !== 4 || parts.some((part) => !/^(0|[1-9]\d{0,2})$/.test(part) || Number(part) > 255))
    return undefined;
  return parts.reduce((value, part) => (value << 8n) | BigInt(part), 0n);
}

function ipv6Of(text: string): bigint | undefined {
  const tail = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(text);
  if (tail !== null) {
    const low = ipv4Of(tail[2] ?? '');
    if (low === undefined) return undefined;
    return ipv6Of(`${tail[1]}${(low >> 16n).toString(16)}:${(low & 0xffffn).toString(16)}`);
  }
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const [left = [], right = []] = halves.map((half) => (half === '' ? [] : half.split(':')));
  const missing = 8 - left.length - right.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined;
  const groups = [...left, ...new Array<string>(missing).fill('0'), ...right];
  if (groups.some((group) => !/^[0-9a-fA-F]{1,4}$/.test(group))) return undefined;
  return groups.reduce((value, group) => (value << 16n) | BigInt(`0x${group}`), 0n);
}
