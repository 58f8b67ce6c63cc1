// The deployment package, in an account of its own: who may write its blobs runs as patrol and reads every password. One
// identity may, which the platform brings and fetches the package with, and every write is on record.
param name string
param location string
param tags object
param skuName string
param isPrivate bool
param auditWorkspaceId string
@description('Object id of the identity that brings the package.')
param deployerId string

var blobDataContributor = 'ba92f5b4-2d11-453d-a403-e96b0029c9fe'

module made 'storage-account.bicep' = {
  name: 'package-storage-account'
  params: { name: name, location: location, tags: tags, skuName: skuName, isPrivate: isPrivate }
}

resource account 'Microsoft.Storage/storageAccounts@2025-06-01' existing = {
  name: name

  resource blobs 'blobServices' = {
    name: 'default'
    properties: {
      deleteRetentionPolicy: { enabled: true, days: 7 }
      containerDeleteRetentionPolicy: { enabled: true, days: 7 }
    }
    dependsOn: [made]

    resource packages 'containers' = {
      name: 'app-package'
      properties: { publicAccess: 'None' }
    }
  }
}

resource assignment 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(account::blobs::packages.id, deployerId, blobDataContributor)
  scope: account::blobs::packages
  properties: {
    description: 'The platform brings and fetches the package of patrol'
    principalId: deployerId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', blobDataContributor)
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
output packagesUrl string = '${made.outputs.blobEndpoint}${account::blobs::packages.name}'
