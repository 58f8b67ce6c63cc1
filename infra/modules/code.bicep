// The code, from a package that is ready to run: what the platform would build, it would build for a Python of its own.
param appName string
param packageUri string

resource app 'Microsoft.Web/sites@2024-11-01' existing = {
  name: appName
}

resource code 'Microsoft.Web/sites/extensions@2025-03-01' = {
  parent: app
  name: 'onedeploy'
  #disable-next-line BCP187 // the type knows no properties, the platform does
  properties: { packageUri: packageUri, type: 'zip', remoteBuild: false }
}
