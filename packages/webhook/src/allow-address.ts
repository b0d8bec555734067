import { BlockList, isIP } from 'node:net';
import { Failure } from '@cairn/failure';

/** Which addresses and ports webhooks may go to. */
export interface NetworkRules {
  /** Ports; 443 alone unless told otherwise. */
  readonly ports: readonly number[];
  /** Lets `http:` pass as well: only the signature protects the message then, and everybody on the way reads it. */
  readonly plainHttp: boolean;
  /** Networks in CIDR form that may be called though they are not public. */
  readonly allow: readonly string[];
}

/** Not public, IANA's registries of special purpose addresses (RFC 6890). */
const CLOSED_V4: readonly (readonly [string, number])[] = [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 4],
  ['240.0.0.0', 4],
];

/**
 * Of IPv6 only 2000::/3 is given out. All forms that hold an IPv4 address lie outside of it (mapped, NAT64), or are closed
 * here (6to4, Teredo), beside what is for documentation and protocols.
 */
const CLOSED_V6: readonly (readonly [string, number])[] = [
  ['2001::', 23],
  ['2001:db8::', 32],
  ['2002::', 16],
  ['3fff::', 20],
];

const closed = new BlockList();
const given = new BlockList();
for (const [network, bits] of CLOSED_V4) closed.addSubnet(network, bits, 'ipv4');
for (const [network, bits] of CLOSED_V6) closed.addSubnet(network, bits, 'ipv6');
given.addSubnet('2000::', 3, 'ipv6');

/**
 * What says why an address may not be connected to; undefined when it may.
 *
 * @throws Failure `webhook.network-invalid` when a network is not in CIDR form.
 */
export function refusalsOf({ allow }: Pick<NetworkRules, 'allow'>): (address: string) => string | undefined {
  const allowed = new BlockList();
  for (const network of allow) addNetwork(allowed, network);
  return (address) => {
    const version = isIP(address);
    // A zone says which wire of this machine.
    if (version === 0 || address.includes('%')) return 'not an address';
    const family = version === 4 ? 'ipv4' : 'ipv6';
    if (allowed.check(address, family)) return undefined;
    if (family === 'ipv6' && !given.check(address, family)) return 'not a public address';
    return closed.check(address, family) ? 'not a public address' : undefined;
  };
}

function addNetwork(list: BlockList, network: string): void {
  const [address = '', bits = ''] = network.split('/');
  const version = isIP(address);
  const most = version === 4 ? 32 : 128;
  if (version === 0 || !/^\d{1,3}$/.test(bits) || Number(bits) > most)
    throw new Failure({
      code: 'webhook.network-invalid',
      retry: 'no',
      message: `${JSON.stringify(network.slice(0, 60))} is not a network in CIDR form, such as 10.1.2.0/24`,
    });
  list.addSubnet(address, Number(bits), version === 4 ? 'ipv4' : 'ipv6');
}

/**
 * Why a URL may not be an endpoint; undefined when it may, as far as that shows without resolving its name. The WHATWG parser
 * has by now turned every way to write an IPv4 address (octal, hexadecimal, one number, other digits) into the one.
 */
export function refusalOfUrl(url: URL, rules: NetworkRules): string | undefined {
  const { protocol, username, password, hostname, port } = url;
  if (protocol !== 'https:' && !(protocol === 'http:' && rules.plainHttp))
    return rules.plainHttp ? 'its scheme is neither https nor http' : 'its scheme is not https';
  if (username !== '' || password !== '') return 'it holds credentials';
  const number = port === '' ? (protocol === 'https:' ? 443 : 80) : Number(port);
  if (!rules.ports.includes(number)) return `port ${number} is not among the allowed ones`;
  const address = hostname.replace(/^\[(.*)\]$/, '$1');
  return isIP(address) === 0 ? undefined : refusalsOf(rules)(address);
}
