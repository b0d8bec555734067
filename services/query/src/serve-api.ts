import { randomUUID, randomUUIDv7 } from 'node:crypto';
import type { ClickHouse } from '@cairn/adapters';
import { parseUuid } from '@cairn/event';
import { isFailure, messageOf } from '@cairn/failure';
import type { Logger } from '@cairn/runtime';
import express, { type Express, type NextFunction, type Request, type Response } from 'express';
import { rateLimit, type Store } from 'express-rate-limit';
import helmet from 'helmet';
import type { z } from 'zod';
import { answerOnce, type KeptAnswer } from './answer-once.ts';
import type { Authenticator, Caller } from './authenticate.ts';
import type { QueryConfig } from './config.ts';
import { openApiOf, referencePage } from './describe-api.ts';
import { doAct } from './do-act.ts';
import { cutTo, problemOf, Refusal } from './problem.ts';
import { type Access, type AccessRecorder, accessEvent } from './record-access.ts';
import { RequestsInFlight } from './requests-in-flight.ts';
import {
  type Act,
  type Answered,
  type Asked,
  type Facts,
  IF_MATCH_MAX,
  type Route,
  type Streamed,
} from './route.ts';
import { ROUTES } from './routes.ts';
import { claimsInMemory, type SharedClaims } from './shared-claims.ts';

export interface ApiParts {
  readonly config: Pick<QueryConfig, 'org' | 'deployment' | 'limits'>;
  readonly clickhouse: ClickHouse;
  readonly analyst: ClickHouse;
  readonly archive: Asked<unknown, unknown, unknown>['archive'];
  readonly subjectKeys: Asked<unknown, unknown, unknown>['subjectKeys'];
  readonly authenticator: Authenticator;
  readonly recorder: AccessRecorder;
  /** Default this process's own. */
  readonly claims?: SharedClaims;
  readonly log: Logger;
  readonly nowMs: () => number;
  readonly onAnswered: (route: string, status: number, tookMs: number) => void;
  /** Aborts when the service stops: streams end, and nothing new is answered. */
  readonly stopping: AbortSignal;
  /** Where each request is kept while it is answered. Default nobody waits for them. */
  readonly inFlight?: RequestsInFlight;
}

type Parts = Required<ApiParts>;

/** What is known of a request while it is answered. */
interface Locals {
  requestId: string;
  caller?: Caller;
  startedAtMs: number;
  /** Its act has a decision in the trail, and records its own outcome. */
  isRecorded?: boolean;
}

/** More than the longest statement, however it is escaped. */
const BODY_BYTES_MAX = 256 * 1024;
const MINUTE_MS = 60_000;

/** The API: every route of the table, deny by default, each request recorded before it is answered. */
export function serveApi(given: ApiParts): Express {
  const parts: Parts = {
    ...given,
    claims: given.claims ?? claimsInMemory(given.nowMs),
    inFlight: given.inFlight ?? new RequestsInFlight(),
  };
  const { config } = parts;
  const app = express();
  app.set('trust proxy', false);
  app.set('query parser', 'simple');
  app.disable('x-powered-by');
  app.disable('etag');

  app.use((_request, response: Response<unknown, Locals & Record<string, unknown>>, next) => {
    response.locals.requestId = randomUUID();
    response.locals.startedAtMs = performance.now();
    response.setHeader('X-Request-Id', response.locals.requestId);
    response.setHeader('Cache-Control', 'no-store');
    next();
  });
  app.use(
    helmet({ contentSecurityPolicy: { directives: { 'default-src': ["'none'"], 'style-src': ["'self'"] } } }),
  );
  app.use((_request, response, next) => {
    if (!parts.stopping.aborted) return next();
    // Another process answers, or this one when it is back; on this connection nothing more is.
    response.setHeader('Connection', 'close');
    throw new Refusal('unavailable', 'This service stops. Ask again.');
  });
  app.use(limiter(parts.claims, 'address', config.limits.perAddressAMinute, (request) => request.ip ?? ''));

  app.get('/openapi.json', (_request, response) => void response.json(openApiOf()));
  app.get('/', (_request, response) => void response.type('html').send(referencePage()));
  app.get('/reference.css', (_request, response) => void response.type('css').send(STYLE));

  const v1 = express.Router();
  v1.use(async (request, response, next) => {
    const locals = response.locals as Locals;
    const caller = await parts.authenticator.callerOf(request.get('authorization'), parts.nowMs());
    if (caller === undefined)
      throw new Refusal('access.unauthenticated', 'Send Authorization: Bearer with an API key or a token.');
    locals.caller = caller;
    next();
  });
  v1.use(
    limiter(
      parts.claims,
      'key',
      config.limits.perKeyAMinute,
      (_request, response) => (response.locals as Locals).caller?.id ?? '',
    ),
  );
  v1.use(express.json({ limit: BODY_BYTES_MAX, strict: false, type: () => true }));
  const byPath = Map.groupBy(ROUTES, ({ path }) => path);
  const places = { taken: 0 };
  for (const [path, routes] of byPath) {
    const at = path.replace(/^\/v1/, '').replaceAll(/\{(\w+)\}/g, ':$1');
    for (const route of routes)
      v1[route.method](at, (request, response) =>
        parts.inFlight.track(answer(parts, places, route, request, response)),
      );
    v1.all(at, (_request, response) => {
      response.setHeader('Allow', routes.map(({ method }) => method.toUpperCase()).join(', '));
      throw new Refusal('method.not-allowed', 'The Allow header says which are.');
    });
  }
  app.use('/v1', v1);
  app.use(() => {
    throw new Refusal('not-found', 'The description of what there is: /openapi.json.');
  });
  app.use((error: unknown, request: Request, response: Response, _next: NextFunction) =>
    parts.inFlight.track(refuse(parts, error, request, response)),
  );
  return app;
}

/**
 * One request: may they, is it readable, what is the answer, does it fit its description, is it recorded, and only then is
 * anything sent.
 */
async function answer(
  parts: Parts,
  places: { taken: number },
  route: Route,
  request: Request,
  response: Response,
): Promise<void> {
  const locals = response.locals as Required<Locals>;
  const { caller } = locals;
  response.locals['route'] = route;
  if (!route.roles.includes(caller.role) || !caller.scopes.includes(route.scope))
    throw new Refusal(
      'access.forbidden',
      `It needs a role of ${route.roles.join(', ')} and the scope ${route.scope}.`,
    );
  const isHeavy = route.isHeavy === true || route.streams !== undefined;
  if (isHeavy && places.taken >= parts.config.limits.streamsMax) {
    response.setHeader('Retry-After', '10');
    throw new Refusal('rate.exceeded', 'As many exports, tails and statements run as may at the same time.');
  }
  places.taken += isHeavy ? 1 : 0;
  try {
    await answerWith(parts, route, request, response);
  } finally {
    places.taken -= isHeavy ? 1 : 0;
  }
  parts.onAnswered(route.id, response.statusCode, performance.now() - locals.startedAtMs);
}

async function answerWith(parts: Parts, route: Route, request: Request, response: Response): Promise<void> {
  const locals = response.locals as Required<Locals>;
  const { caller, requestId } = locals;
  const gone = new AbortController();
  response.once('close', () => gone.abort());
  const asked = {
    caller,
    requestId,
    path: read(route.parameters, request.params, 'path'),
    query: read(route.query, request.query, 'query'),
    body: read(route.body, request.body, 'body'),
    now: parts.nowMs() * 1_000,
    clickhouse: parts.clickhouse,
    analyst: parts.analyst,
    installationOrg: parts.config.org,
    deployment: parts.config.deployment,
    archive: parts.archive,
    subjectKeys: parts.subjectKeys,
    claims: parts.claims,
    ifMatch: versionsIn(route, request.get('if-match')),
    // Empty is what a browser sends that has seen no id.
    lastEventId: (route.goesOn === true && request.get('last-event-id')) || undefined,
    signal: AbortSignal.any([gone.signal, parts.stopping]),
  };
  const recordAs = (access: Omit<Access, 'route' | 'caller' | 'requestId'>) =>
    parts.recorder.record(accessEvent({ route, caller, requestId, ...access }, parts.config.org));
  const record = (facts: Facts) => recordAs({ outcome: 'success', code: '', facts });
  const act = (given: Act<unknown>): Promise<Answered<unknown>> => {
    const callId = parseUuid(randomUUIDv7());
    return doAct(
      given,
      (step) => recordAs({ ...step, callId }),
      () => (locals.isRecorded = true),
      (error) => parts.log.error({ reason: messageOf(error), requestId }, 'what was done is not recorded'),
    );
  };
  /** The answer as it is described, recorded. */
  const answered = async (): Promise<KeptAnswer | Streamed> => {
    const given = await route.answer(asked);
    if ('stream' in given) return given;
    const done = 'apply' in given ? await act(given) : given;
    const body = route.response.parse(done.body);
    if (!('apply' in given)) await record(done.facts);
    return { status: done.status ?? 200, body, etag: done.etag, facts: done.facts };
  };
  const key = route.creates === true ? request.get('idempotency-key') : undefined;
  if (key !== undefined) {
    const { method, path } = request;
    const credential = request.get('authorization') ?? '';
    const repeatable = { header: key, caller, credential, method, path, body: asked.body };
    const { answer: kept, isRepeated } = await answerOnce(parts.claims, repeatable, async () => {
      const given = await answered();
      if ('stream' in given) throw new TypeError(`${route.id} streams, and creates nothing`);
      return given;
    });
    if (isRepeated) await record({ ...kept.facts, repeated: true });
    return sendBody(kept, request, response);
  }
  const given = await answered();
  if (!('stream' in given)) return sendBody(given, request, response);
  await record(given.facts);
  await send(parts, given, response);
  await record({ ...given.facts, ...given.ended(), ended: true }).catch((error: unknown) =>
    parts.log.error({ reason: messageOf(error), requestId }, 'the end of a stream is not recorded'),
  );
}

/** Versions in `If-Match`, without quotes (RFC 9110, 13.1.1). @throws Refusal `precondition.required` */
function versionsIn(route: Route, header: string | undefined): readonly string[] | undefined {
  if (route.ifMatch === undefined) return undefined;
  if (header === undefined && route.ifMatch === 'required')
    throw new Refusal('precondition.required', 'Send If-Match with the ETag of what you saw.');
  if (header !== undefined && header.length > IF_MATCH_MAX)
    throw new Refusal('request.invalid', `If-Match has at most ${IF_MATCH_MAX} characters.`);
  return header?.split(',').map((one) => one.trim().replace(/^"(.*)"$/, '$1'));
}

function sendBody({ status, body, etag }: KeptAnswer, request: Request, response: Response): void {
  if (etag !== undefined) response.setHeader('ETag', `"${etag}"`);
  if (etag !== undefined && request.method === 'GET') {
    response.setHeader('Cache-Control', 'private, no-cache');
    const known = (request.get('if-none-match') ?? '')
      .split(',')
      .map((one) => one.trim().replace(/^W\//, ''));
    if (known.includes(`"${etag}"`)) return void response.status(304).end();
  }
  response.status(status);
  if (status === 204) response.end();
  else response.json(body);
}

/** A stream that fails in the midst is broken off, so that nobody takes it for whole; so is an export when the service stops. */
async function send(
  parts: Parts,
  { stream, contentType, filename, start, hotFrom, count, endsInOrder = false }: Streamed,
  response: Response,
): Promise<void> {
  response.status(200).setHeader('Content-Type', contentType);
  response.setHeader('X-Accel-Buffering', 'no');
  if (filename !== undefined) response.setHeader('Content-Disposition', `attachment; filename="${filename}"`);
  if (start !== undefined) response.setHeader('Cairn-Start', start);
  if (typeof hotFrom === 'string') response.setHeader('Cairn-Hot-From', hotFrom);
  if (count !== undefined) response.setHeader('Cairn-Count', String(count));
  response.flushHeaders();
  const breakOff = () => void response.destroy();
  if (!endsInOrder) parts.stopping.addEventListener('abort', breakOff, { once: true });
  if (!endsInOrder && parts.stopping.aborted) breakOff();
  const gone = closed(response);
  try {
    for await (const piece of stream) {
      if (response.destroyed) return;
      if (!response.write(piece)) await Promise.race([drained(response), gone]);
    }
    response.end();
  } catch (error) {
    const { requestId } = response.locals as Locals;
    if (!response.destroyed) parts.log.error({ reason: messageOf(error), requestId }, 'a stream broke off');
    response.destroy();
  } finally {
    parts.stopping.removeEventListener('abort', breakOff);
  }
}

const drained = (response: Response) => new Promise<void>((resolve) => void response.once('drain', resolve));
const closed = (response: Response) => new Promise<void>((resolve) => void response.once('close', resolve));

function read<S extends z.ZodType>(schema: S | undefined, value: unknown, where: string): z.infer<S> {
  if (schema === undefined) {
    if (where === 'query' && Object.keys(value ?? {}).length > 0)
      throw new Refusal('request.invalid', 'This takes no parameters.');
    return undefined as z.infer<S>;
  }
  const result = schema.safeParse(value ?? (where === 'body' ? undefined : {}));
  if (result.success) return result.data;
  const { issues } = result.error;
  const errors = issues.slice(0, ERRORS_MAX).map(({ path, message }) => ({
    pointer: cutTo(200, `/${[where, ...path.map(String)].join('/')}`),
    detail: cutTo(300, message),
  }));
  const more = issues.length > ERRORS_MAX ? [`and ${issues.length - ERRORS_MAX} more`] : [];
  throw new Refusal(
    'request.invalid',
    [...errors.map(({ pointer, detail }) => `${pointer}: ${detail}`), ...more].join('; '),
    { errors },
  );
}

/** Mistakes that are told of one request. */
const ERRORS_MAX = 20;

/** Ends a request with a problem. A refusal is recorded before it is told, as an answer is. */
async function refuse(parts: Parts, error: unknown, request: Request, response: Response): Promise<void> {
  const { requestId, caller, startedAtMs, isRecorded = false } = response.locals as Locals;
  const route = response.locals['route'] as Route | undefined;
  let problem = problemOf(error, requestId);
  if (problem.status >= 500) {
    const reason = messageOf(error instanceof Refusal ? (error.cause ?? error) : error);
    parts.log.error(
      { reason, requestId, code: isFailure(error) ? error.code : 'unexpected' },
      'a request failed',
    );
  }
  const outcome = problem.status === 401 || problem.status === 403 ? 'denied' : 'failure';
  const isToRecord = problem.status !== 429 && problem.status !== 503 && !isRecorded;
  if (isToRecord && (caller !== undefined || outcome === 'denied')) {
    const facts = { path: request.path.slice(0, 200), verb: request.method };
    const access = { route, caller, outcome, code: problem.code, requestId, facts } as const;
    try {
      await parts.recorder.record(accessEvent(access, parts.config.org));
    } catch (failed) {
      parts.log.error({ reason: messageOf(failed), requestId }, 'a refusal is not recorded');
      problem = problemOf(new Refusal('unavailable', 'What is asked cannot be recorded now.'), requestId);
    }
  }
  parts.onAnswered(route?.id ?? 'none', problem.status, performance.now() - startedAtMs);
  if (response.headersSent) return void response.destroy();
  if (problem.status === 401) response.setHeader('WWW-Authenticate', 'Bearer');
  const isLater = problem.status === 429 || problem.status === 503;
  if (problem.code === 'idempotency.running') response.setHeader('Retry-After', '1');
  if (isLater && !response.hasHeader('Retry-After')) response.setHeader('Retry-After', '5');
  response.status(problem.status).setHeader('Content-Type', 'application/problem+json');
  response.end(JSON.stringify(problem));
}

/** Standard headers: `RateLimit`, `RateLimit-Policy` (draft 8) and `Retry-After`. */
function limiter(
  claims: SharedClaims,
  name: string,
  limit: number,
  keyOf: (request: Request, response: Response) => string,
) {
  return rateLimit({
    windowMs: MINUTE_MS,
    limit,
    standardHeaders: 'draft-8',
    legacyHeaders: false,
    identifier: name,
    store: counterOf(claims, name),
    keyGenerator: (request, response) => keyOf(request as Request, response as Response),
    handler: (_request, _response, next) =>
      next(
        new Refusal('rate.exceeded', `At most ${limit} requests a minute. Retry-After says when to go on.`),
      ),
    validate: { keyGeneratorIpFallback: false },
  });
}

/** Windows of all processes together, each opened by its first request. */
function counterOf(claims: SharedClaims, name: string): Store {
  return {
    async increment(key) {
      const { count, leftMs } = await claims.count(`rate:${name}:${key}`, MINUTE_MS);
      return { totalHits: count, resetTime: new Date(Date.now() + leftMs) };
    },
    decrement: (key) => claims.uncount(`rate:${name}:${key}`),
    resetKey: (key) => claims.release(`rate:${name}:${key}`),
  };
}

const STYLE = `body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1a1a1a;background:#fff}
code,pre{font:13px/1.45 ui-monospace,monospace;background:#f3f3f1;padding:.1em .3em}pre{padding:.8rem;overflow:auto}
h2{border-top:1px solid #ddd;padding-top:1rem}table{border-collapse:collapse;width:100%}td,th{text-align:left;vertical-align:top;padding:.3rem .6rem;border-bottom:1px solid #eee}
@media (prefers-color-scheme:dark){body{background:#161616;color:#e6e6e6}code,pre{background:#262626}td,th,h2{border-color:#333}}`;
