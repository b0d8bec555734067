export { type Deliveries, type Delivering, type DeliverOptions, deliverAlerts } from './deliver-alerts.ts';
