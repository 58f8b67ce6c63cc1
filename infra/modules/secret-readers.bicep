// Consumers, each on the one secret that it reads. The secrets must exist: patrol publishes them first.
param vaultName string
@description('[{ secretName, principalId, principalType }]')
param consumers array

var secretsUser = '4633458b-17de-408a-b874-0445c86b69e6'

resource vault 'Microsoft.KeyVault/vaults@2024-11-01' existing = {
  name: vaultName
}

resource secrets 'Microsoft.KeyVault/vaults/secrets@2024-11-01' existing = [
  for consumer in consumers: {
    parent: vault
    name: consumer.secretName
  }
]

resource assignments 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for (consumer, i) in consumers: {
    name: guid(vault.id, consumer.secretName, consumer.principalId, secretsUser)
    scope: secrets[i]
    properties: {
      description: 'Reads the PAT that patrol publishes'
      principalId: consumer.principalId
      principalType: consumer.?principalType ?? 'ServicePrincipal'
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', secretsUser)
    }
  }
]
