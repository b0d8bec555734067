/**
 * RFC 3161 over HTTP. The request is these 69 bytes of DER:
 *
 *     30 43                                    TimeStampReq
 *        02 01 01                              version 1
 *        30 31                                 MessageImprint
 *           30 0d 06 09 6086480165030402 01 05 00   SHA-256
 *           04 20 <32 bytes>                   hash of the data
 *        02 08 <8 bytes>                       nonce, positive
 *        01 01 ff                              certReq: the answer carries its certificates
 *
 * The answer is kept as it came (a `.tsr` file to other tools), and only after it has been verified.
 */
import { createHash, hash, randomBytes, webcrypto, X509Certificate } from 'node:crypto';
import { Failure, isFailure, messageOf } from '@cairn/failure';
// The library is loaded when the first answer is verified: most services never stamp.
import type { Certificate, ICryptoEngine, SignedData, TSTInfo } from 'pkijs';

export interface TimestampAuthority {
  /** Stands in file names and reports. */
  readonly name: string;
  readonly url: string;
  /** PEM of the certificates that are trusted to have issued the authority's. At least one. */
  readonly caCertificates: string;
}

export interface TimestampOptions {
  /** Longest wait for a whole answer; default 10,000. */
  readonly answerMsMax?: number;
  /** How far the authority's time may be from ours; default 300,000. */
  readonly clockMsMax?: number;
}

export interface Timestamp {
  /** Name of the authority. */
  readonly authority: string;
  /** The DER of the whole TimeStampResp. */
  readonly response: Uint8Array;
  /** What the authority says: the data existed then. */
  readonly genTime: Date;
}

/** Larger answers are no timestamps. With a chain of certificates they have 2 to 8 KiB. */
const RESPONSE_BYTES_MAX = 65_536;

/**
 * Asks one authority for a timestamp of the data, and verifies the answer. Asking again is harmless: it gives one more
 * timestamp.
 *
 * @throws Failure `timestamp.unreachable` (later): no whole answer, or a 5xx
 * @throws Failure `timestamp.refused` (no): the authority did not grant it
 * @throws Failure `timestamp.clock` (later): its time is too far from ours
 * @throws Failure as `verifyTimestamp`
 */
export async function requestTimestamp(
  authority: TimestampAuthority,
  data: Uint8Array,
  options: TimestampOptions = {},
): Promise<Timestamp> {
  const { answerMsMax = 10_000, clockMsMax = 300_000 } = options;
  const nonce = randomBytes(8);
  // A DER integer is positive when its first bit is 0, and shortest when its first byte is not 0.
  nonce[0] = ((nonce[0] ?? 0) & 0x7f) | 0x40;
  const request = timestampRequest(hash('sha256', data, 'buffer'), nonce);
  const response = await send(authority, request, answerMsMax);
  const { genTime } = await verifyTimestamp(response, data, authority.caCertificates, nonce);
  if (Math.abs(genTime.getTime() - Date.now()) > clockMsMax)
    throw failure('clock', 'later', `${authority.name} says ${genTime.toISOString()}, which is not now`);
  return { authority: authority.name, response, genTime };
}

/** @param sha256 32 bytes. @param nonce 8 bytes that are a positive integer in its shortest form. */
export function timestampRequest(sha256: Uint8Array, nonce: Uint8Array): Uint8Array {
  return Buffer.concat([REQUEST_HEAD, sha256, NONCE_HEAD, nonce, CERT_REQ]);
}

const REQUEST_HEAD = Buffer.from(
  '3043020101 3031 300d 0609608648016503040201 0500 0420'.replaceAll(' ', ''),
  'hex',
);
const NONCE_HEAD = Buffer.from('0208', 'hex');
const CERT_REQ = Buffer.from('0101ff', 'hex');

async function send(authority: TimestampAuthority, request: Uint8Array, msMax: number): Promise<Uint8Array> {
  const { name, url } = authority;
  try {
    const answer = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/timestamp-query', accept: 'application/timestamp-reply' },
      body: new Uint8Array(request),
      redirect: 'error',
      signal: AbortSignal.timeout(msMax),
    });
    if (answer.status >= 500 || answer.status === 429)
      throw failure('unreachable', 'later', `${name} answered ${answer.status}`);
    if (answer.status !== 200) throw failure('refused', 'no', `${name} answered ${answer.status}`);
    const pieces: Uint8Array[] = [];
    let bytes = 0;
    for await (const piece of answer.body ?? []) {
      bytes += piece.length;
      if (bytes > RESPONSE_BYTES_MAX) throw malformed(`it has more than ${RESPONSE_BYTES_MAX} bytes`);
      pieces.push(piece);
    }
    return new Uint8Array(Buffer.concat(pieces));
  } catch (error) {
    if (isFailure(error)) throw error;
    const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
    throw failure('unreachable', 'later', `${name} did not answer: ${messageOf(cause)}`, error);
  }
}

/**
 * Verifies that a TimeStampResp is a timestamp of this data by an authority whose certificate a trusted one issued, as RFC
 * 3161 section 2.4.2 demands: granted; version, imprint and nonce equal; one signer, whose certificate is named in the signed
 * attributes, is for time stamping alone and was valid at that time with its whole chain. Revocation is not looked up.
 *
 * @param response DER of the whole answer.
 * @param caCertificates PEM.
 * @param nonce of the request, when it is at hand.
 * @throws Failure `timestamp.malformed` (no): it is no answer of RFC 3161
 * @throws Failure `timestamp.refused` (no): the authority says that it grants none
 * @throws Failure `timestamp.mismatch` (no): of other data, or for another request
 * @throws Failure `timestamp.untrusted` (no): signature, certificate or chain do not hold
 */
export async function verifyTimestamp(
  response: Uint8Array,
  data: Uint8Array,
  caCertificates: string,
  nonce?: Uint8Array,
): Promise<{ readonly genTime: Date }> {
  const pki = await import('pkijs');
  const { token, info } = await parse(response);

  const { hashAlgorithm, hashedMessage } = info.messageImprint;
  if (hashAlgorithm.algorithmId !== SHA_256)
    throw failure('mismatch', 'no', 'its imprint is not one of SHA-256');
  if (!hash('sha256', data, 'buffer').equals(Buffer.from(hashedMessage.valueBlock.valueHexView)))
    throw failure('mismatch', 'no', 'it is a timestamp of other data');
  if (nonce && !Buffer.from(nonce).equals(Buffer.from(info.nonce?.valueBlock.valueHexView ?? [])))
    throw failure('mismatch', 'no', 'it answers another request: the nonce differs');

  const trustedCerts = certificatesOf(caCertificates).map((der) => pki.Certificate.fromBER(der));
  const crypto = new pki.CryptoEngine({
    name: 'node',
    crypto: webcrypto as unknown as Crypto,
  }) as unknown as ICryptoEngine;
  let signer: Certificate | null | undefined;
  try {
    const verified = await token.verify(
      {
        signer: 0,
        data: new Uint8Array(data).buffer,
        trustedCerts,
        checkChain: true,
        checkDate: info.genTime,
        extendedMode: true,
      },
      crypto,
    );
    if (verified.signatureVerified !== true || verified.signerCertificateVerified !== true)
      throw new Error(verified.message || 'the signature is not that of its certificate');
    signer = verified.signerCertificate;
  } catch (error) {
    throw failure('untrusted', 'no', messageOf(error), error);
  }
  if (!signer) throw failure('untrusted', 'no', 'it carries no certificate of its signer');
  if (!isForTimestamps(signer))
    throw failure('untrusted', 'no', 'its certificate is not for time stamping alone');
  if (!(await namesCertificate(token, signer)))
    throw failure('untrusted', 'no', 'its signed attributes do not name the certificate of its signer');
  return { genTime: info.genTime };
}

const SHA_256 = '2.16.840.1.101.3.4.2.1';
const SIGNED_DATA = '1.2.840.113549.1.7.2';
/** Begins the names of all ECDSA signatures, which are DER themselves. RFC 5758. */
const ECDSA = '1.2.840.10045.4.';
const TST_INFO = '1.2.840.113549.1.9.16.1.4';
const EXTENDED_KEY_USAGE = '2.5.29.37';
const TIME_STAMPING = '1.3.6.1.5.5.7.3.8';
/** RFC 5035: which certificate signed, under the signature. The first form has SHA-1, the second names its hash. */
const SIGNING_CERTIFICATE = '1.2.840.113549.1.9.16.2.12';
const SIGNING_CERTIFICATE_V2 = '1.2.840.113549.1.9.16.2.47';
const HASHES: Readonly<Record<string, string>> = {
  [SHA_256]: 'sha256',
  '2.16.840.1.101.3.4.2.2': 'sha384',
  '2.16.840.1.101.3.4.2.3': 'sha512',
};

async function parse(response: Uint8Array): Promise<{ token: SignedData; info: TSTInfo }> {
  const pki = await import('pkijs');
  const asn1 = await import('asn1js');
  const wholeOf = (bytes: Uint8Array) => {
    // The library reads past lengths that do not nest; other tools do not, and what we keep must convince them.
    if (!nests(bytes, 0, bytes.length)) throw new Error('its lengths do not nest');
    const { offset, result } = asn1.fromBER(new Uint8Array(bytes).buffer);
    if (offset !== bytes.length) throw new Error('it is not one whole DER value');
    return result;
  };
  try {
    const answer = new pki.TimeStampResp({ schema: wholeOf(response) });
    const { status, statusStrings } = answer.status;
    // PKIStatus: 0 granted, 1 granted with changes. RFC 3161 section 2.4.2.
    if (status !== 0 && status !== 1) {
      const text = (statusStrings ?? []).map((one) => one.valueBlock.value).join(' ');
      throw failure('refused', 'no', `the authority answered with status ${status}: ${text}`);
    }
    if (!answer.timeStampToken) throw malformed('it is granted and has no token');
    if (answer.timeStampToken.contentType !== SIGNED_DATA) throw malformed('its token is not a SignedData');
    const token = new pki.SignedData({ schema: answer.timeStampToken.content });
    if (token.signerInfos.length !== 1) throw malformed(`${token.signerInfos.length} signers, not one`);
    const [signer] = token.signerInfos;
    const digest = signer?.digestAlgorithm.algorithmId;
    if (!token.digestAlgorithms.some(({ algorithmId }) => algorithmId === digest))
      throw malformed('the hash of its signature is not announced');
    if (signer?.signatureAlgorithm.algorithmId.startsWith(ECDSA))
      wholeOf(signer.signature.valueBlock.valueHexView);
    const { eContentType, eContent } = token.encapContentInfo;
    if (eContentType !== TST_INFO || !eContent) throw malformed('its content is not a TSTInfo');
    const info = new pki.TSTInfo({ schema: wholeOf(new Uint8Array(eContent.getValue())) });
    if (info.version !== 1) throw malformed(`its version is ${info.version}`);
    if (Number.isNaN(info.genTime.getTime())) throw malformed('it has no time');
    return { token, info };
  } catch (error) {
    throw isFailure(error) ? error : malformed(messageOf(error), error);
  }
}

/** Whether these bytes are DER values one after the other, each with the shortest length and filled by what is inside. */
function nests(bytes: Uint8Array, start: number, end: number): boolean {
  let at = start;
  while (at < end) {
    const tag = bytes[at] ?? 0;
    const first = bytes[at + 1] ?? 0xff;
    const lengthBytes = first < 0x80 ? 0 : first & 0x7f;
    // No tag beyond 30 and no length beyond 16 bits occurs in a timestamp; 0x80 is BER without a length.
    if ((tag & 0x1f) === 0x1f || first === 0x80 || lengthBytes > 2) return false;
    let length = first & 0x7f;
    if (lengthBytes > 0) {
      length = 0;
      for (let one = 0; one < lengthBytes; one += 1) length = length * 256 + (bytes[at + 2 + one] ?? 0);
      if (length < (lengthBytes === 1 ? 0x80 : 0x100)) return false;
    }
    const inside = at + 2 + lengthBytes;
    at = inside + length;
    if (at > end || ((tag & 0x20) !== 0 && !nests(bytes, inside, at))) return false;
  }
  return at === end;
}

/** RFC 3161 section 2.3: the one extended key usage, marked critical. */
function isForTimestamps(certificate: Certificate): boolean {
  const usage = certificate.extensions?.find(({ extnID }) => extnID === EXTENDED_KEY_USAGE);
  const purposes = (usage?.parsedValue as { keyPurposes?: string[] } | undefined)?.keyPurposes;
  return usage?.critical === true && purposes?.length === 1 && purposes[0] === TIME_STAMPING;
}

/** Without this, another certificate of the same key could be put in the place of the signer's. */
async function namesCertificate(token: SignedData, certificate: Certificate): Promise<boolean> {
  const asn1 = await import('asn1js');
  const der = new Uint8Array(certificate.toSchema(true).toBER());
  const attributes = token.signerInfos[0]?.signedAttrs?.attributes ?? [];
  for (const { type, values } of attributes) {
    if (type !== SIGNING_CERTIFICATE && type !== SIGNING_CERTIFICATE_V2) continue;
    // SigningCertificate ::= SEQUENCE { certs SEQUENCE OF ESSCertID, … }; the signer's is the first.
    const [certs] = sequence(values[0]);
    const [first] = sequence(certs);
    const fields = sequence(first);
    const certHash = fields.find((field) => field instanceof asn1.OctetString) as
      | InstanceType<typeof asn1.OctetString>
      | undefined;
    const [named] = sequence(fields[0]);
    const oid = named instanceof asn1.ObjectIdentifier ? named.valueBlock.toString() : SHA_256;
    const algorithm = type === SIGNING_CERTIFICATE ? 'sha1' : HASHES[oid];
    if (!certHash || algorithm === undefined) return false;
    const wanted = createHash(algorithm).update(der).digest();
    if (!wanted.equals(Buffer.from(certHash.valueBlock.valueHexView))) return false;
    return true;
  }
  return false;
}

/** The values of an ASN.1 sequence; none of anything else. */
function sequence(value: unknown): readonly unknown[] {
  const inside = (value as { valueBlock?: { value?: unknown } } | undefined)?.valueBlock?.value;
  return Array.isArray(inside) ? inside : [];
}

/** @throws Failure `timestamp.untrusted` when there is no certificate, or one that cannot be read. */
function certificatesOf(pem: string): ArrayBuffer[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  if (blocks.length === 0) throw failure('untrusted', 'no', 'no CA certificate is configured');
  return blocks.map((block) => {
    try {
      return new Uint8Array(new X509Certificate(block).raw).buffer;
    } catch (error) {
      throw failure('untrusted', 'no', 'a configured CA certificate cannot be read', error);
    }
  });
}

function malformed(why: string, cause?: unknown): Failure {
  return failure('malformed', 'no', `it is no answer of RFC 3161: ${why}`, cause);
}

function failure(what: string, retry: 'later' | 'no', message: string, cause?: unknown): Failure {
  return new Failure({ code: `timestamp.${what}`, retry, message: `the timestamp: ${message}`, cause });
}
