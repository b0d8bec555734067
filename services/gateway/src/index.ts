export { type GatewayConfig, readGatewayConfig } from './config.ts';
export { createGateway, createStdioGateway, type Gateway, type GatewayParts } from './gateway.ts';
