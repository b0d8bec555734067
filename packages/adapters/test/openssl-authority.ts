import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TimestampAuthority } from '../src/timestamp-authority.ts';

/** How the authority's certificate is made. */
export interface AuthorityOptions {
  /** Extended key usage as openssl writes it; default `critical,timeStamping`. */
  readonly usage?: string;
  /** Days from now that the certificate ends; negative: it has ended. Default 30. */
  readonly days?: number;
  /** An intermediate between the CA and the authority. */
  readonly intermediate?: boolean;
}

/** `openssl ts` behind HTTP, under a CA of its own. */
export interface OpensslAuthority extends AsyncDisposable {
  readonly authority: TimestampAuthority;
  /** Given each answer before it is sent; may change it, or answer itself and return undefined. */
  meddle: (answer: Buffer, response: ServerResponse) => Buffer | undefined;
  /** The answer to a request, without HTTP. */
  answer(request: Uint8Array): Buffer;
  /** The answer as one without scruples signs it: openssl's own authority refuses to with some certificates. */
  forge(request: Uint8Array, signer: OpensslAuthority, attributes?: 'signing-certificate' | 'none'): Buffer;
  /** Signs a TSTInfo as any content. */
  sign(content: Uint8Array, attributes: 'signing-certificate' | 'none'): Buffer;
  /** What `openssl ts -verify` says of an answer. */
  verify(response: Uint8Array, data: Uint8Array): string;
  /** Requests that came. */
  readonly requests: Buffer[];
}

/** Starts an authority; its files go when it is disposed of. */
export async function startAuthority(
  name: string,
  options: AuthorityOptions = {},
): Promise<OpensslAuthority> {
  const { usage = 'critical,timeStamping', days = 30, intermediate = false } = options;
  const directory = mkdtempSync(join(tmpdir(), 'cairn-authority-'));
  const file = (path: string): string => join(directory, path);
  const openssl = (...args: string[]): string =>
    execFileSync('openssl', args, { cwd: directory, encoding: 'utf8', stdio: 'pipe' });
  const key = (stem: string): string[] => [
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:P-256',
    '-nodes',
    '-keyout',
    `${stem}.key`,
  ];
  const issue = (stem: string, issuer: string, extensions: string, validity: string[]): void => {
    openssl('req', '-new', ...key(stem), '-subj', `/CN=${name} ${stem}`, '-out', `${stem}.csr`);
    writeFileSync(file(`${stem}.ext`), extensions);
    openssl(
      'x509',
      '-req',
      '-in',
      `${stem}.csr`,
      '-CA',
      `${issuer}.pem`,
      '-CAkey',
      `${issuer}.key`,
      '-CAcreateserial',
      '-extfile',
      `${stem}.ext`,
      ...validity,
      '-out',
      `${stem}.pem`,
    );
  };

  openssl(
    'req',
    '-x509',
    ...key('ca'),
    '-subj',
    `/CN=${name} CA`,
    '-days',
    '60',
    '-out',
    'ca.pem',
    '-addext',
    'keyUsage=critical,keyCertSign,cRLSign',
  );
  if (intermediate)
    issue('between', 'ca', 'basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\n', [
      '-days',
      '40',
    ]);
  issue(
    'tsa',
    intermediate ? 'between' : 'ca',
    `keyUsage=critical,digitalSignature\nextendedKeyUsage=${usage}\n`,
    ['-days', String(days)],
  );
  writeFileSync(file('chain.pem'), intermediate ? readFileSync(file('between.pem')) : '');
  writeFileSync(file('serial'), '01\n');
  writeFileSync(file('ts.cnf'), CONFIG);

  const answer = (request: Uint8Array): Buffer => {
    writeFileSync(file('request.tsq'), request);
    const chain = intermediate ? ['-chain', 'chain.pem'] : [];
    openssl('ts', '-reply', '-config', 'ts.cnf', '-queryfile', 'request.tsq', ...chain, '-out', 'answer.tsr');
    return readFileSync(file('answer.tsr'));
  };
  const requests: Buffer[] = [];
  const server = createServer(async (request, response) => {
    const body = Buffer.concat(await Array.fromAsync(request as AsyncIterable<Buffer>));
    requests.push(body);
    const changed = started.meddle(answer(body), response);
    if (changed) response.writeHead(200, { 'content-type': 'application/timestamp-reply' }).end(changed);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const started: OpensslAuthority = {
    authority: {
      name,
      url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
      caCertificates: readFileSync(file('ca.pem'), 'utf8'),
    },
    meddle: (bytes) => bytes,
    answer,
    requests,
    forge(request, signer, attributes = 'signing-certificate') {
      answer(request);
      openssl('ts', '-reply', '-in', 'answer.tsr', '-token_out', '-out', 'token.der');
      openssl(
        'cms',
        '-verify',
        '-noverify',
        '-inform',
        'DER',
        '-in',
        'token.der',
        '-binary',
        '-out',
        'info.der',
      );
      const token = signer.sign(readFileSync(file('info.der')), attributes);
      // TimeStampResp ::= SEQUENCE { SEQUENCE { INTEGER 0 }, token }
      const head = Buffer.from('308200003003020100', 'hex');
      head.writeUInt16BE(token.length + 5, 2);
      return Buffer.concat([head, token]);
    },
    sign(content, attributes) {
      writeFileSync(file('content.der'), content);
      const cades = attributes === 'none' ? [] : ['-cades'];
      openssl(
        'cms',
        '-sign',
        '-binary',
        '-nodetach',
        ...cades,
        '-md',
        'sha256',
        '-outform',
        'DER',
        '-econtent_type',
        '1.2.840.113549.1.9.16.1.4',
        '-in',
        'content.der',
        '-signer',
        'tsa.pem',
        '-inkey',
        'tsa.key',
        '-out',
        'signed.der',
      );
      return readFileSync(file('signed.der'));
    },
    verify(bytes, data) {
      writeFileSync(file('kept.tsr'), bytes);
      writeFileSync(file('data'), data);
      const chain = intermediate ? ['-untrusted', 'chain.pem'] : [];
      try {
        return openssl(
          'ts',
          '-verify',
          '-in',
          'kept.tsr',
          '-data',
          'data',
          '-CAfile',
          'ca.pem',
          ...chain,
        ).trim();
      } catch (error) {
        return String((error as { stderr?: string }).stderr);
      }
    },
    [Symbol.asyncDispose]: () =>
      new Promise((resolve) => {
        server.close(() => {
          rmSync(directory, { recursive: true, force: true });
          resolve();
        });
        server.closeAllConnections();
      }),
  };
  return started;
}

const CONFIG = `[tsa]
default_tsa = authority
[authority]
serial = serial
signer_cert = tsa.pem
signer_key = tsa.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256
accuracy = secs:1
ess_cert_id_alg = sha256
`;
