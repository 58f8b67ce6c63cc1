// Events of a vault: a secret has a new current version. Deployed beside patrol and only where somebody wants them; patrol
// itself needs none (docs/consumers.md, Events). A Logic App subscribes by its own trigger.
targetScope = 'resourceGroup'

metadata description = 'Event Grid tells a function or a webhook of every new version of a secret'

@description('The vault of the published PATs, in this resource group. Azure has one system topic for a vault: none may exist yet.')
param vaultName string

@description('The vault\'s own region.')
param location string = resourceGroup().location

@description('Tags of the topic.')
param tags object = {}

@description('Secrets whose new versions are told, 25 at most; empty: all of the vault.')
@maxLength(25)
param secretNames array = []

@description('Resource id of a function with an Event Grid trigger: …/sites/NAME/functions/FUNCTION.')
param functionId string = ''

@description('Address of a webhook that answers Event Grid\'s handshake (CloudEvents 1.0); it is a secret.')
@secure()
param webhookUrl string = ''

@description('What each delivery to the webhook carries in the header X-Webhook-Key, by which it knows Event Grid; empty: none.')
@secure()
param webhookKey string = ''

var filter = union(
  { includedEventTypes: ['Microsoft.KeyVault.SecretNewVersionCreated'] },
  empty(secretNames) ? {} : { advancedFilters: [{ operatorType: 'StringIn', key: 'subject', values: secretNames }] }
)
// A day of attempts: patrol's overlap is a day as well.
var retryPolicy = { maxDeliveryAttempts: 30, eventTimeToLiveInMinutes: 1440 }

resource vault 'Microsoft.KeyVault/vaults@2024-11-01' existing = {
  name: vaultName
}

resource topic 'Microsoft.EventGrid/systemTopics@2025-02-15' = {
  name: 'evgt-${vaultName}'
  location: location
  tags: tags
  properties: {
    source: vault.id
    topicType: 'Microsoft.KeyVault.vaults'
  }
}

resource toFunction 'Microsoft.EventGrid/systemTopics/eventSubscriptions@2025-02-15' = if (!empty(functionId)) {
  parent: topic
  name: 'new-version-to-function'
  properties: {
    destination: { endpointType: 'AzureFunction', properties: { resourceId: functionId } }
    eventDeliverySchema: 'CloudEventSchemaV1_0'
    filter: filter
    retryPolicy: retryPolicy
  }
}

resource toWebhook 'Microsoft.EventGrid/systemTopics/eventSubscriptions@2025-02-15' = if (!empty(webhookUrl)) {
  parent: topic
  name: 'new-version-to-webhook'
  properties: {
    destination: {
      endpointType: 'WebHook'
      properties: {
        endpointUrl: webhookUrl
        deliveryAttributeMappings: empty(webhookKey)
          ? []
          : [{ name: 'X-Webhook-Key', type: 'Static', properties: { isSecret: true, value: webhookKey } }]
      }
    }
    eventDeliverySchema: 'CloudEventSchemaV1_0'
    filter: filter
    retryPolicy: retryPolicy
  }
}
