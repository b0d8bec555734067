export { type Alert, LEVELS, type Level } from './alert.ts';
export { type NetworkRules, refusalOfUrl, refusalsOf } from './allow-address.ts';
export {
  type Delivery,
  type DeliveryCounts,
  type DeliveryRow,
  DeliveryStore,
  type Settled,
} from './delivery-store.ts';
export { type Endpoint, keyOf, secretsOf, type Webhooks, wants, webhooksSchema } from './endpoint.ts';
export { type Format, formatAlert, type Message } from './format-alert.ts';
export { type AttemptOutcome, nextAttempt, RETRY_SCHEDULE_MS, retryAfterMs } from './next-attempt.ts';
export { type Attempt, sendAlert, type WebhookAnswer, type WebhookHttp } from './send-alert.ts';
export { publicKeyOf, type Signer, signerOf, signWebhook, type WebhookHeaders } from './sign-webhook.ts';
