import { isFailure, messageOf } from '@cairn/failure';
import type { Alert } from './alert.ts';
import { refusalOfUrl } from './allow-address.ts';
import { type Endpoint, keyOf, secretsOf, type Webhooks } from './endpoint.ts';
import { formatAlert } from './format-alert.ts';
import { signerOf, signWebhook } from './sign-webhook.ts';

/** What sending asks of HTTP. packages/adapters/src/http-client.ts fits undici to it. */
export interface WebhookHttp {
  /**
   * Sends one POST and follows nothing. Connects only to addresses that the rules of the network let pass, whatever the name
   * resolves to. Resolves within the bounds of time and size that it was opened with.
   *
   * @throws Failure `http.refused-address`, `http.unreachable`, `http.timeout`
   */
  post(url: URL, headers: Readonly<Record<string, string>>, body: Buffer): Promise<WebhookAnswer>;
}

export interface WebhookAnswer {
  readonly status: number;
  readonly retryAfter: string | undefined;
  /** Its first bytes, for a person. Hostile. */
  readonly excerpt: string;
}

/** How one attempt went. */
export interface Attempt {
  /** Undefined when there was no answer. */
  readonly status: number | undefined;
  readonly retryAfter: string | undefined;
  /** What the receiver or the network said, shortened; empty after success. Holds no secret. */
  readonly note: string;
}

const NOTE_MAX = 200;

/** One attempt to tell one endpoint of one alert. Never rejects: an attempt always comes to something. */
export async function sendAlert(
  http: WebhookHttp,
  endpoint: Endpoint,
  network: Webhooks['network'],
  alert: Alert,
  nowMs: number,
): Promise<Attempt> {
  try {
    const { url, headers, body } = formatAlert(alert, {
      format: endpoint.format,
      url: new URL(endpoint.url),
      key: keyOf(endpoint),
    });
    const refusal = refusalOfUrl(url, network);
    if (refusal !== undefined) return { status: undefined, retryAfter: undefined, note: refusal };
    const signed = signWebhook(secretsOf(endpoint).map(signerOf), alert.id, nowMs, body);
    const { 'webhook-signature': signature, ...unsigned } = signed;
    const { status, retryAfter, excerpt } = await http.post(
      url,
      { ...headers, 'user-agent': 'cairn-webhook', ...(signature === '' ? unsigned : signed) },
      body,
    );
    const isSuccess = status >= 200 && status <= 299;
    return { status, retryAfter, note: isSuccess ? '' : excerpt.slice(0, NOTE_MAX) };
  } catch (error) {
    const note = isFailure(error) ? `${error.code}: ${messageOf(error)}` : messageOf(error);
    return { status: undefined, retryAfter: undefined, note: note.slice(0, NOTE_MAX) };
  }
}
