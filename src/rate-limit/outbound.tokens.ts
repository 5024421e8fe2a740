import { Inject } from '@nestjs/common';

/** Token of the `OutboundLimiter` of a provider. */
export function getOutboundToken(name: string): symbol {
  return Symbol.for(`rednest:outbound:${name}`);
}

/**
 * Injects the `OutboundLimiter` of a provider that `OutboundLimitModule.forFeature` names.
 *
 * @example
 * constructor(`@InjectOutbound('maps')` private readonly maps: OutboundLimiter) {}
 */
export function InjectOutbound(name: string): ParameterDecorator & PropertyDecorator {
  return Inject(getOutboundToken(name));
}
