// The inventory as blobs, in an account of its own: who may write there may ask for PATs. patrol reads and nothing more,
// every write is on record, and an earlier inventory can be brought back.
param name string
param location string
param tags object
param skuName string
param isPrivate bool
param auditWorkspaceId string
@description('Object id of patrol\'s identity.')
param readerId string

var blobDataReader = '2a2b9908-6ea1-4ae2-8e65-a410df84e7d1'

module made 'storage-account.bicep' = {
  name: 'inventory-storage-account'
  params: { name: name, location: location, tags: tags, skuName: skuName, isPrivate: isPrivate }
}

resource account 'Microsoft.Storage/storageAccounts@2025-06-01' existing = {
  name: name

  resource blobs 'blobServices' = {
    name: 'default'
    properties: {
      isVersioningEnabled: true
      deleteRetentionPolicy: { enabled: true, days: 30 }
      containerDeleteRetentionPolicy: { enabled: true, days: 30 }
    }
    dependsOn: [made]

    resource inventory 'containers' = {
      name: 'inventory'
      properties: { publicAccess: 'None' }
    }
  }
}

resource assignment 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(account::blobs::inventory.id, readerId, blobDataReader)
  scope: account::blobs::inventory
  properties: {
    description: 'patrol reads its inventory'
    principalId: readerId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', blobDataReader)
  }
}

resource writes 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'writes'
  scope: account::blobs
  properties: {
    workspaceId: auditWorkspaceId
    logs: [
      { category: 'StorageWrite', enabled: true }
      { category: 'StorageDelete', enabled: true }
    ]
  }
}

output id string = made.outputs.id
